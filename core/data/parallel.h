// parallel: a range of items -> chunks worked on by several threads; the first exception travels.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace expgraph {

/// Calls work(begin, end) for chunks that cover 0 .. count-1, from `threads` threads (0: one for
/// each processor); after an exception no new chunk starts.
template <typename Work>
void parallel_for(int64_t count, int64_t chunk, int threads, const Work& work) {
  std::atomic<int64_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto loop = [&] {
    for (int64_t begin; (begin = next.fetch_add(chunk)) < count;) {
      try {
        work(begin, std::min(begin + chunk, count));
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        next = count;
      }
    }
  };
  if (threads <= 0) threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  std::vector<std::jthread> others;
  for (int k = 1; k < std::min<int64_t>(threads, (count + chunk - 1) / chunk); ++k) {
    others.emplace_back(loop);
  }
  loop();
  others.clear();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace expgraph
