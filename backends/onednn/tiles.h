// tiles: a map -> runs of pixels that fit the caches of a core, all channels of each, shared out
// to threads.
#pragma once

#include <vector>

#include "backends/onednn/layout.h"
#include "backends/onednn/parallel.h"
#include "backends/onednn/vector.h"

namespace expgraph::onednn {

/// The pixels of a map, of all its images.
struct TileSpace {
  explicit TileSpace(const Map& map)
      : pixels(map.pixels()),
        tile(std::max<int64_t>(kTileBytes / (std::max<int64_t>(map.c, 1) * 4), 16)) {}

  /// body(thread, first pixel, pixels)
  template <typename Body>
  void for_each(int threads, const Body& body) const {
    parallel(threads, pixels, tile, [&](int thread, int64_t begin, int64_t end) {
      for (int64_t first = begin; first < end; first += tile)
        body(thread, first, std::min(tile, end - first));
    });
  }

  static constexpr int64_t kTileBytes = 65536;
  int64_t pixels, tile;
};

/// Sums per thread and channel, in double, in a kernel's scratch.
class Partials {
 public:
  /// `kinds` sums a channel.
  Partials(int64_t channels, int kinds, int threads)
      : row_((channels + 7) / 8 * 8), kinds_(kinds), threads_(threads) {}
  int64_t bytes() const { return row_ * kinds_ * threads_ * static_cast<int64_t>(sizeof(double)); }
  void place(std::byte* scratch) {
    data_ = reinterpret_cast<double*>(scratch);
    std::fill_n(data_, row_ * kinds_ * threads_, 0.0);
  }
  double* of(int thread, int kind) const { return data_ + (thread * kinds_ + kind) * row_; }
  /// Over the threads, in their order.
  double total(int kind, int64_t channel) const {
    double sum = 0;
    for (int thread = 0; thread < threads_; ++thread) sum += of(thread, kind)[channel];
    return sum;
  }

 private:
  int64_t row_;
  int kinds_, threads_;
  double* data_ = nullptr;
};

}  // namespace expgraph::onednn
