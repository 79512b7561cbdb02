// layout: how the bytes of a value lie. Logically a map is [N, C, H, W]; physically its channels
// come last, so that every kernel runs along channels.
#pragma once

#include <cstdint>

#include "core/ir/tensor_type.h"

namespace expgraph::onednn {

enum class Layout : uint8_t {
  dense,  ///< row-major as typed; also of all that is not a map
  nhwc,   ///< [N, H, W, C]
};

/// A value [N, C, H, W], or [N, C] seen as maps of one place.
struct Map {
  Map() = default;
  explicit Map(const TensorType& type)
      : n(type.shape[0]),
        c(type.shape[1]),
        h(type.rank() == 4 ? type.shape[2] : 1),
        w(type.rank() == 4 ? type.shape[3] : 1) {}
  int64_t plane() const { return h * w; }
  int64_t pixels() const { return n * h * w; }
  int64_t n = 0, c = 0, h = 0, w = 0;
};

/// How a kernel over maps takes or makes a value of that type.
inline Layout map_layout(const TensorType& type) {
  return type.rank() == 4 ? Layout::nhwc : Layout::dense;
}

/// Whether both layouts put every element of the type at the same place.
inline bool same_bytes(Layout a, Layout b, const TensorType& type) {
  return a == b || type.rank() != 4 || Map(type).plane() == 1 || Map(type).c == 1;
}

}  // namespace expgraph::onednn
