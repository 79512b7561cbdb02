// kernel_runs: a check of kernels -> the same on a device, or emulated in several orders of
// threads.
#pragma once

#include <doctest/doctest.h>

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#if defined(EXPGRAPH_ON_DEVICE)
#include <cuda_runtime.h>
#else
#include "tests/support/cuda/emulation.h"
#endif

namespace expgraph::test {

/// Whether there is nothing to run kernels on; says so, so that the test counts as skipped.
inline bool no_device() {
#if defined(EXPGRAPH_ON_DEVICE)
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess && count > 0) return false;
  MESSAGE("test skipped: there is no CUDA device");
  return true;
#else
  return false;
#endif
}

using KernelCheck = std::function<std::vector<std::string>(std::vector<float>& bits)>;

/// `check` gives faults and the bits of all that the kernels made. It runs more than once: on the
/// device twice, emulated once in each order of threads; the bits must be the same each time.
inline void check_in_all_orders(const KernelCheck& check) {
  std::vector<float> first;
  const auto once = [&](const char* how) {
    std::vector<float> bits;
    for (const std::string& fault : check(bits)) FAIL_CHECK(std::string(how), ": ", fault);
    if (first.empty()) first = bits;
    const bool same = first.size() == bits.size() &&
                      std::memcmp(first.data(), bits.data(), bits.size() * sizeof(float)) == 0;
    CHECK_MESSAGE(same, std::string(how), ": other bits than before");
  };
#if defined(EXPGRAPH_ON_DEVICE)
  once("first");
  once("again");
#else
  using emulation::Order;
  for (const auto& [order, name] : {std::pair{Order::forward, "forward"},
                                    {Order::backward, "backward"},
                                    {Order::shuffled, "shuffled"}}) {
    emulation::start(order);
    once(name);
    CHECK_MESSAGE(emulation::report().fault.empty(), std::string(name), ": ",
                  emulation::report().fault);
    CHECK(emulation::report().launches > 0);
  }
#endif
}

}  // namespace expgraph::test
