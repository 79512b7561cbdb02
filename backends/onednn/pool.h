// pool: the windows of pooling over maps as they lie.
#pragma once

#include "backends/onednn/kernels.h"
#include "backends/onednn/reals.h"
#include "backends/onednn/vector.h"
#include "core/ops/common.h"

namespace expgraph::onednn {

struct PoolShape {
  PoolShape(const Attributes& attributes, const TensorType& x_type, const TensorType& y_type)
      : x(x_type), y(y_type), window(pool_window(attributes, x.h, x.w)) {}

  /// Whether each pixel of x lies in exactly one window.
  bool tiles_exactly() const {
    return window.sh == window.kh && window.sw == window.kw && y.h * window.kh == x.h &&
           y.w * window.kw == x.w;
  }
  bool padded() const { return window.ph > 0 || window.pw > 0; }
  /// Whether no two windows share a pixel and all lie within the map.
  bool apart() const { return !padded() && window.sh >= window.kh && window.sw >= window.kw; }
  /// A row of windows, none of which leaves the map.
  Windows row() const { return {y.w, window.kh, window.kw, window.sw, x.w, 0, window.kw}; }

  Map x, y;
  Window window;
};

/// Max pooling of affine(x); y and index may be absent.
struct MaxPoolOperands {
  RealsIn x;
  RealsOut y;
  TensorView index;
  Moments* leaves = nullptr;  ///< of y; null: none are wanted
};
/// `runs`: of pool_runs(), in the scratch of args.
void max_pool(const PoolShape& pool, const MaxPoolOperands& operands, const Affine& affine,
              const Runs& runs, const KernelArgs& args, int threads);

/// For a row of windows and a row of outputs, where they are of bf16 or moments are left.
Runs pool_runs(const PoolShape& pool, bool buffered, int threads, ScratchPlan& scratch);

/// An index from an element on.
inline PoolIndex index_at(const TensorView& index, int64_t element) {
  if (index.data == nullptr) return {};
  const bool wide = index.type.dtype == DType::i32;
  return {index.as<std::byte>() + element * size_of(index.type.dtype), wide};
}

}  // namespace expgraph::onednn
