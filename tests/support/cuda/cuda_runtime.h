// cuda_runtime: stands in for CUDA's header where a kernel's source is compiled for the host: the
// words of the language, and a launch that runs the threads of a block one at a time.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __shared__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(bytes)

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
// Of the thread that runs now; the emulation writes them.
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

using cudaStream_t = struct CUstream_st*;
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidConfiguration = 9 };
inline const char* cudaGetErrorString(cudaError_t status) {
  return status == cudaSuccess ? "no error" : "invalid configuration argument";
}
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};

namespace expgraph::emulation {
cudaError_t run(const cudaLaunchConfig_t& config, const std::function<void()>& thread);
/// Waits for all threads of the block, or of the warp; `where` tells one barrier from another.
void wait_for_block(int where);
void wait_for_warp(int where);
/// The bytes that a lane of this warp shows, and those that another shows.
void show(const void* bytes, size_t size);
void look(unsigned lane_mask, void* bytes, size_t size);
}  // namespace expgraph::emulation

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  // A kernel gets copies of its arguments, of exactly its parameters' types.
  return expgraph::emulation::run(
      *config, [&] { kernel(static_cast<std::remove_cvref_t<Parameters>>(arguments)...); });
}

inline void __syncthreads(int where = __builtin_LINE()) {
  expgraph::emulation::wait_for_block(where);
}
inline void __syncwarp(unsigned = 0xffffffffu, int where = __builtin_LINE()) {
  expgraph::emulation::wait_for_warp(where);
}
template <typename T>
T __shfl_xor_sync(unsigned, T value, int lane_mask, int where = __builtin_LINE()) {
  expgraph::emulation::show(&value, sizeof(T));
  expgraph::emulation::wait_for_warp(where);
  expgraph::emulation::look(static_cast<unsigned>(lane_mask), &value, sizeof(T));
  expgraph::emulation::wait_for_warp(where);
  return value;
}

namespace expgraph::cuda {
/// A block's dynamic shared memory: as many bytes as the launch asked for are good.
extern unsigned char dynamic_shared[];
}  // namespace expgraph::cuda
