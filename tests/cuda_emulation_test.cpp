// cuda_emulation_test: the emulation runs what CUDA would, and finds planted mistakes.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "backends/libtorch/cuda/device.cuh"
#include "tests/support/cuda/emulation.h"
#include "tests/support/device_memory.h"
#include "tests/support/op_graphs.h"

using namespace expgraph;
using namespace expgraph::test;
using emulation::Order;

namespace {

/// Sums 64 numbers by halves. The barrier between two halves can be left out.
__global__ void sum_by_halves(const float* from, float* to, bool with_barrier) {
  float* shared = cuda::shared_memory<float>();
  shared[threadIdx.x] = from[threadIdx.x];
  for (unsigned half = 32; half > 0; half /= 2) {
    if (with_barrier) __syncthreads();
    if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
  }
  if (threadIdx.x == 0) *to = shared[0];
}

__global__ void barrier_for_some(int threads) {
  if (static_cast<int>(threadIdx.x) < threads) __syncthreads();
}

__global__ void two_barriers() {
  if (threadIdx.x % 2 == 0) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void shuffle_for_some(float* to) {
  if (threadIdx.x < 16) to[threadIdx.x] = cuda::sum_of_warp(1);
}

__global__ void reverse_in_warp(float* to) {
  to[threadIdx.x] = __shfl_xor_sync(0xffffffffu, static_cast<float>(threadIdx.x), 31);
}

__global__ void write_shared(int at) { cuda::shared_memory<float>()[at] = 1; }

__global__ void read_shared(float* to) { *to = cuda::shared_memory<float>()[threadIdx.x]; }

__global__ void number_threads(int* to) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  to[block * blockDim.x * blockDim.y + threadIdx.y * blockDim.x + threadIdx.x] += 1;
}

template <typename... Parameters, typename... Arguments>
std::string fault_of(void (*kernel)(Parameters...), dim3 block, size_t shared,
                     Arguments... arguments) {
  emulation::start(Order::forward);
  cuda::launch("planted", kernel, {.block = block, .shared_bytes = shared}, nullptr, arguments...);
  return emulation::report().fault;
}

}  // namespace

TEST_CASE("every thread of every block runs once") {
  for (const Order order : {Order::forward, Order::backward, Order::shuffled}) {
    emulation::start(order);
    DeviceArray<int> counts(std::vector<int>(24 * 40, 0));
    cuda::launch("number", number_threads, {.grid = dim3(3, 2, 4), .block = dim3(8, 5)}, nullptr,
                 counts.data());
    CHECK(counts.read() == std::vector<int>(24 * 40, 1));
    CHECK(emulation::report().threads == 960);
    CHECK(emulation::report().fault.empty());
  }
}

TEST_CASE("a missing barrier shows in some order of threads, and none does where it is there") {
  std::vector<float> values(64);
  for (size_t i = 0; i < 64; ++i) values[i] = static_cast<float>(i);
  for (const bool with_barrier : {true, false}) {
    std::set<std::string> results;
    for (const Order order : {Order::forward, Order::backward, Order::shuffled}) {
      emulation::start(order);
      DeviceArray<float> from(values), to(1);
      cuda::launch("sum", sum_by_halves, {.block = dim3(64), .shared_bytes = 256}, nullptr,
                   from.data(), to.data(), with_barrier);
      results.insert(std::isnan(to.read()[0]) ? "NaN" : std::to_string(to.read()[0]));
    }
    CHECK((results == std::set{std::to_string(2016.0f)}) == with_barrier);
  }
}

TEST_CASE("barriers that not all threads reach, or reach at different places, are found") {
  CHECK(fault_of(barrier_for_some, dim3(64), 0, 64).empty());
  CHECK(fault_of(barrier_for_some, dim3(64), 0, 63)
            .find("thread (63,0) of block (0,0,0) has ended") != std::string::npos);
  CHECK(fault_of(two_barriers, dim3(2), 0).find("waits at line") != std::string::npos);
  DeviceArray<float> to(32);
  CHECK_FALSE(fault_of(shuffle_for_some, dim3(32), 0, to.data()).empty());
  CHECK(fault_of(reverse_in_warp, dim3(32), 0, to.data()).empty());
  CHECK(to.read()[5] == 26);
}

TEST_CASE("shared memory starts as NaN and ends where the launch said") {
  CHECK(fault_of(write_shared, dim3(1), 16, 3).empty());
  CHECK(fault_of(write_shared, dim3(1), 16, 4) ==
        "a write behind the 16 bytes of shared memory of block (0,0,0)");
  DeviceArray<float> to(std::vector<float>{0});
  CHECK(fault_of(read_shared, dim3(1), 16, to.data()).empty());
  CHECK(std::isnan(to.read()[0]));
}

TEST_CASE("a write outside of an array is found") {
  DeviceArray<int> counts(std::vector<int>(3, 0));
  counts.read();
#if !defined(__SANITIZE_ADDRESS__)  // which ends the program at once
  cuda::launch("number", number_threads, {.block = dim3(4)}, nullptr, counts.data());
  CHECK_THROWS(counts.read());
#endif
}

TEST_CASE("a launch that no device takes is an error") {
  const auto start = [](dim3 block, size_t shared) {
    return message_of([&] { fault_of(barrier_for_some, block, shared, 0); });
  };
  CHECK(start(dim3(1024), 48 * 1024) == "no error");
  CHECK(start(dim3(1025), 0) ==
        "cuda kernel 'planted' cannot be started: invalid configuration argument");
  CHECK(start(dim3(1), 48 * 1024 + 1) ==
        "cuda kernel 'planted' cannot be started: invalid configuration argument");
}
