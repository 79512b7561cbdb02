// device: what the kernels share: element types, vectors of elements, sums over a block, launches.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <utility>

#include "backends/libtorch/cuda/kernels.h"
#include "core/support/diagnostics.h"

namespace expgraph::cuda {

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__half x) { return __half2float(x); }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

__device__ inline void store(float& to, float x) { to = x; }
__device__ inline void store(__half& to, float x) { to = __float2half_rn(x); }
__device__ inline void store(__nv_bfloat16& to, float x) { to = __float2bfloat16_rn(x); }

/// V neighbours, read and written at once.
template <typename T, int V>
struct alignas(sizeof(T) * V) Pack {
  T at[V];
};
template <int V, typename T>
__device__ const Pack<T, V>& pack(const T* at) {
  return *reinterpret_cast<const Pack<T, V>*>(at);
}
template <int V, typename T>
__device__ Pack<T, V>& pack(T* at) {
  return *reinterpret_cast<Pack<T, V>*>(at);
}

/// The block's dynamic shared memory; its size is given at the launch.
template <typename T>
__device__ T* shared_memory() {
  extern __shared__ __align__(16) unsigned char dynamic_shared[];
  return reinterpret_cast<T*>(dynamic_shared);
}

struct Sums {
  float first = 0, second = 0;
};

/// Sums over threadIdx.y of each column of the block, in an order that depends on the block's shape
/// alone; the row 0 of threads gets them. All threads of the block call it. `shared` holds
/// 2 * blockDim.x * blockDim.y floats; blockDim.y is a power of two.
__device__ inline Sums sum_rows_of_block(float* shared, Sums mine) {
  const unsigned at = threadIdx.y * blockDim.x + threadIdx.x;
  float* second = shared + blockDim.x * blockDim.y;
  shared[at] = mine.first;
  second[at] = mine.second;
  for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.y < half) {
      shared[at] += shared[at + half * blockDim.x];
      second[at] += second[at + half * blockDim.x];
    }
  }
  const Sums sums{shared[at], second[at]};
  __syncthreads();  // the next call writes the same memory
  return sums;
}

constexpr int kWarp = 32;

/// The same value in every lane: the sum over the warp, all of whose lanes call it.
template <typename T>
__device__ T sum_of_warp(T x) {
  for (int lane = kWarp / 2; lane > 0; lane /= 2) x += __shfl_xor_sync(0xffffffffu, x, lane);
  return x;
}
__device__ inline float largest_of_warp(float x) {
  for (int lane = kWarp / 2; lane > 0; lane /= 2) {
    const float other = __shfl_xor_sync(0xffffffffu, x, lane);
    x = other > x || other != other ? other : x;  // NaN wins
  }
  return x;
}

inline bool aligned(const void* pointer, size_t bytes) {
  return reinterpret_cast<uintptr_t>(pointer) % bytes == 0;
}

template <typename T>
struct Type {
  using type = T;
};
/// f(Type<T>{}) for the C++ type of `storage`.
template <typename F>
void with_type(Storage storage, F f) {
  if (storage == Storage::f32) f(Type<float>{});
  if (storage == Storage::f16) f(Type<__half>{});
  if (storage == Storage::bf16) f(Type<__nv_bfloat16>{});
}

struct LaunchSize {
  dim3 grid = {1, 1, 1}, block = {1, 1, 1};
  size_t shared_bytes = 0;
};

/// Starts a kernel; Error (environment) when the device does not take it. Faults while it runs show
/// at the next synchronisation.
template <typename... Parameters, typename... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), const LaunchSize& size, Stream stream,
            Arguments&&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = size.grid;
  config.blockDim = size.block;
  config.dynamicSmemBytes = size.shared_bytes;
  config.stream = stream;
  const cudaError_t status =
      cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);
  if (status == cudaSuccess) return;
  throw Error(
      std::string("cuda kernel '") + name + "' cannot be started: " + cudaGetErrorString(status),
      {}, ExitCode::environment);
}

}  // namespace expgraph::cuda
