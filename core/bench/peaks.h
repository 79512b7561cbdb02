// peaks: a backend -> the most that it gets out of this machine, measured.
#pragma once

#include <cstdint>

#include "core/backend.h"

namespace expgraph {

/// Best of several runs in a row, not the processor's data sheet: what is twice as fast as another
/// is told from what is at the machine's end.
struct Peaks {
  double gflops = 0;      ///< y = x w^T of two square matrices, a multiply-accumulate counts 2
  int64_t side = 0;       ///< of those matrices
  double gbytes = 0;      ///< c = a + b over maps: GB/s, each map read or written once
  int64_t map_bytes = 0;  ///< of each of the three
  int runs = 0;

  /// The least seconds that work can take: of the arithmetic and the traffic the longer.
  double seconds(double flops, double bytes) const;
};

/// In `dtype`, on `threads` threads (0: all). Takes about a second and up to 1.5 GiB.
Peaks measure_peaks(const Backend& backend, DType dtype, int threads);

}  // namespace expgraph
