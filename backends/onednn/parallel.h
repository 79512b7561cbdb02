// parallel: a range -> contiguous parts, one a thread. The parts depend on the range and the
// number of threads alone, so that sums over them come out the same at every run.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace expgraph::onednn {

/// body(thread, begin, end) for each of `threads` parts of 0 .. count, the parts at multiples of
/// `grain`. Throws nothing: neither may body.
template <typename Body>
void parallel(int threads, int64_t count, int64_t grain, const Body& body) {
  const int64_t grains = (count + grain - 1) / grain;
  const int parts = static_cast<int>(std::clamp<int64_t>(grains, 1, threads));
  const auto part = [&](int thread) {
    const int64_t begin = grains * thread / parts * grain;
    const int64_t end = std::min(count, grains * (thread + 1) / parts * grain);
    if (begin < end) body(thread, begin, end);
  };
  if (parts == 1) return part(0);
#pragma omp parallel num_threads(parts)
  {
    // A runtime may give fewer threads than asked: the parts stay the same.
    for (int thread = omp_get_thread_num(); thread < parts; thread += omp_get_num_threads())
      part(thread);
  }
}

}  // namespace expgraph::onednn
