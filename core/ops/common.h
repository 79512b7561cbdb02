// common: the geometry of windows, resolved once for types, kernels and costs alike.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/ir/attribute.h"
#include "core/ir/tensor_type.h"

namespace expgraph {

/// Two sizes, rows first. A `pair` attribute is a list of one number (both) or two.
struct Pair {
  int64_t height = 0;
  int64_t width = 0;
};
Pair pair(const Attributes& attributes, std::string_view name);
inline std::vector<int64_t> to_list(Pair pair) { return {pair.height, pair.width}; }

/// A window that slides over a padded map: kernel, stride, padding by rows and columns.
struct Window {
  int64_t kh = 1, kw = 1;
  int64_t sh = 1, sw = 1;
  int64_t ph = 0, pw = 0;
  int64_t out_height(int64_t height) const { return (height + 2 * ph - kh) / sh + 1; }
  int64_t out_width(int64_t width) const { return (width + 2 * pw - kw) / sw + 1; }
  int64_t places() const { return kh * kw; }
};

/// Of conv2d and its backward operators (attributes stride, padding); the kernel's size is that of
/// the weights [M, C, kh, kw].
Window conv_window(const Attributes& attributes, const Shape& weights);
/// Of pooling and its backward operators (attributes size, stride, padding) over a map of
/// height x width: size 0 is the whole map, an empty stride the size.
Window pool_window(const Attributes& attributes, int64_t height, int64_t width);

/// Element type of a max-pool's index: the smallest that numbers the places of a window.
inline DType index_dtype(const Window& window) {
  return window.places() <= 256 ? DType::u8 : DType::i32;
}

/// Element type in which an operator over `dtype` sums, keeps statistics and reports losses.
inline DType accumulation_dtype(DType dtype) {
  return dtype == DType::f64 ? DType::f64 : DType::f32;
}

}  // namespace expgraph
