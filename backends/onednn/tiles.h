// tiles: a map -> runs of pixels that fit the first-level cache, all channels of each, shared out
// to threads.
#pragma once

#include <vector>

#include "backends/onednn/layout.h"
#include "backends/onednn/parallel.h"
#include "backends/onednn/vector.h"

namespace expgraph::onednn {

/// Pixels that tensors of the same map walk together. Where all of them keep their channels last,
/// the pixels of all images are one run.
struct TileSpace {
  TileSpace(const Map& map, bool any_blocked)
      : images(any_blocked ? map.n : 1),
        pixels(any_blocked ? map.plane() : map.n * map.plane()),
        tile(std::clamp<int64_t>(kTileBytes / (std::max<int64_t>(map.c, 1) * 4), 16, 64)),
        tiles((pixels + tile - 1) / tile) {}

  /// body(thread, image, first pixel, pixels)
  template <typename Body>
  void for_each(int threads, const Body& body) const {
    parallel(threads, images * tiles, 1, [&](int thread, int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        const int64_t first = k % tiles * tile;
        body(thread, k / tiles, first, std::min(tile, pixels - first));
      }
    });
  }

  static constexpr int64_t kTileBytes = 16384;
  int64_t images, pixels, tile, tiles;
};

/// The tile of a tensor at an image and pixel; none for null.
template <typename T>
TileOf<T> tile_at(T* data, const Strides& strides, int64_t image, int64_t pixel) {
  if (data == nullptr) return {};
  return {data + image * strides.image + pixel * strides.pixel, strides.block, strides.pixel};
}

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
