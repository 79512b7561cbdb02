// layout: how the bytes of a value lie. Logically a map is [N, C, H, W]; physically its channels
// are contiguous, all of them or in blocks of 16, so that every kernel runs along channels.
#pragma once

#include <cstdint>

#include "core/ir/tensor_type.h"

namespace expgraph::onednn {

enum class Layout : uint8_t {
  dense,    ///< row-major as typed; also of all that is not a map
  nhwc,     ///< [N, H, W, C]
  blocked,  ///< [N, C/16, H, W, 16]; C is a multiple of 16
};

constexpr int64_t kBlock = 16;

/// A value [N, C, H, W], or [N, C] seen as maps of one place.
struct Map {
  Map() = default;
  explicit Map(const TensorType& type)
      : n(type.shape[0]),
        c(type.shape[1]),
        h(type.rank() == 4 ? type.shape[2] : 1),
        w(type.rank() == 4 ? type.shape[3] : 1) {}
  int64_t plane() const { return h * w; }
  int64_t n = 0, c = 0, h = 0, w = 0;
};

/// Whether both layouts put every element of the type at the same place.
inline bool same_bytes(Layout a, Layout b, const TensorType& type) {
  if (a == b || type.rank() != 4) return true;
  const Map map(type);
  return map.plane() == 1 || (map.c == kBlock && a != Layout::dense && b != Layout::dense) ||
         (map.c == 1 && a != Layout::blocked && b != Layout::blocked);
}

/// Distances, in elements, between images, blocks of 16 channels, and pixels of a map.
struct Strides {
  Strides() = default;
  Strides(const Map& map, Layout layout)
      : image(map.c * map.plane()),
        block(layout == Layout::blocked ? map.plane() * kBlock : kBlock),
        pixel(layout == Layout::blocked ? kBlock : map.c) {}
  int64_t image = 0, block = 0, pixel = 0;
};

}  // namespace expgraph::onednn
