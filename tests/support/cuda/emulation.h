// emulation: how the threads of emulated CUDA kernels run, and what they did wrong.
#pragma once

#include <cstdint>
#include <string>

namespace expgraph::emulation {

/// In which order the threads of a block run between two barriers. A kernel whose result depends
/// on it lacks a barrier.
enum class Order { forward, backward, shuffled };

struct Report {
  int64_t launches = 0, threads = 0;
  std::string fault;  ///< of the first launch that went wrong: "" when none did
};

/// From now on; clears the report. Dynamic shared memory starts as NaN in every block. Found: a
/// barrier that not all threads of a block or warp reach, or that they reach at different places;
/// writes behind the dynamic shared memory; grids and blocks that no device takes.
void start(Order order);
Report report();

}  // namespace expgraph::emulation
