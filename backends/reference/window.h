// window: which elements of an image a window meets, for convolution and pooling.
#pragma once

#include <algorithm>

#include "backends/reference/kernels.h"
#include "core/ops/common.h"

namespace expgraph::reference {

/// A half-open range of positions.
struct Range {
  int64_t begin, end;
};

/// One axis of sliding windows: output o starts at input o * stride - padding.
struct Axis {
  int64_t in, out, stride, padding;

  int64_t start(int64_t o) const { return o * stride - padding; }
  /// The part of a window of `size` places at output o that lies within the input.
  Range inside(int64_t o, int64_t size) const {
    return {std::max<int64_t>(0, start(o)), std::min(in, start(o) + size)};
  }
  /// The outputs whose window has its place `k` within the input.
  Range outputs(int64_t k) const {
    const int64_t offset = k - padding;
    const auto first_at_least = [&](int64_t i) {  // smallest o with o * stride + offset >= i
      return i <= offset ? 0 : std::min(out, (i - offset + stride - 1) / stride);
    };
    return {first_at_least(0), first_at_least(in)};
  }
};

}  // namespace expgraph::reference
