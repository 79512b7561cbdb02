// pool: max and average pooling and their gradients.
#include <limits>

#include "backends/libtorch/device.h"
#include "core/ops/common.h"

namespace expgraph::libtorch {

namespace {

using List = std::vector<int64_t>;

/// A pool over maps of height x width. ATen pads by at most half a window: where that is not
/// enough, the map is padded before.
struct Pool {
  Pool(const Attributes& attributes, const TensorType& x)
      : window(pool_window(attributes, x.shape[2], x.shape[3])),
        size{window.kh, window.kw},
        stride{window.sh, window.sw},
        padding{window.ph, window.pw},
        height(x.shape[2]),
        width(x.shape[3]),
        padded_before(2 * window.ph > window.kh || 2 * window.pw > window.kw) {
    if (padded_before) padding = {0, 0};
  }

  at::Tensor padded(const at::Tensor& x, double value) const {
    if (!padded_before) return x;
    return at::constant_pad_nd(x, {window.pw, window.pw, window.ph, window.ph}, value);
  }
  /// The part of a padded map's gradient that is the map's.
  at::Tensor cropped(const at::Tensor& dx) const {
    if (!padded_before) return dx;
    return dx.narrow(2, window.ph, height)
        .narrow(3, window.pw, width)
        .contiguous(at::MemoryFormat::ChannelsLast);
  }
  /// Shape, and never more than that, of what is pooled.
  at::Tensor map_like(const at::Tensor& dy) const {
    const int64_t extra = padded_before ? 2 : 0;
    return at::empty(
        {dy.size(0), dy.size(1), height + extra * window.ph, width + extra * window.pw},
        dy.options(), at::MemoryFormat::ChannelsLast);
  }

  Window window;
  List size, stride, padding;
  int64_t height, width;
  bool padded_before;
};

/// ATen's index is a place in the map, row * width + column; ours one in the window. Both ways:
/// first row and column of each window, and the pitch of the map.
struct Windows {
  Windows(const Pool& pool, const at::Tensor& index)
      : pitch(pool.width + (pool.padded_before ? 2 * pool.window.pw : 0)) {
    const auto options = index.options().dtype(at::kLong);
    top = (at::arange(index.size(2), options) * pool.stride[0] - pool.padding[0]).unsqueeze(1);
    left = at::arange(index.size(3), options) * pool.stride[1] - pool.padding[1];
  }
  int64_t pitch;
  at::Tensor top, left;
};

at::Tensor index_in_window(const Pool& pool, const at::Tensor& index) {
  const Windows at(pool, index);
  const at::Tensor row = index.div(at.pitch, "floor") - at.top;
  const at::Tensor column = index.remainder(at.pitch) - at.left;
  return (row * pool.window.kw + column)
      .to(index_dtype(pool.window) == DType::u8 ? at::kByte : at::kInt);
}

at::Tensor index_in_map(const Pool& pool, const at::Tensor& index) {
  const Windows at(pool, index);
  const at::Tensor wide = index.to(at::kLong);
  return (wide.div(pool.window.kw, "floor") + at.top) * at.pitch + wide.remainder(pool.window.kw) +
         at.left;
}

Kernel make_max_pool(const MakerContext& context) {
  const Pool pool(context.node.attributes, context.input(0));
  // Within the program the gradient takes ATen's index as it is; the CUDA part's kernels do not.
  const bool converts = context.result_outputs[1] || device().cuda != nullptr;
  const bool indexed = context.read(1);
  return [=](std::span<const at::Tensor> in) -> Tensors {
    auto [y, index] =
        at::max_pool2d_with_indices(pool.padded(in[0], -std::numeric_limits<double>::infinity()),
                                    pool.size, pool.stride, pool.padding);
    if (!indexed) index.reset();
    if (indexed && converts) index = index_in_window(pool, index);
    return {std::move(y), std::move(index)};
  };
}

Kernel make_max_pool_backward(const MakerContext& context) {
  const Pool pool(context.node.attributes, context.output());
  return [pool](std::span<const at::Tensor> in) -> Tensors {
    const at::Tensor index = in[1].scalar_type() == at::kLong ? in[1] : index_in_map(pool, in[1]);
    return {pool.cropped(at::max_pool2d_with_indices_backward(
        in[0], pool.map_like(in[0]), pool.size, pool.stride, pool.padding, {1, 1}, false, index))};
  };
}

Kernel make_average_pool(const MakerContext& context) {
  const Pool pool(context.node.attributes, context.input(0));
  return [pool](std::span<const at::Tensor> in) -> Tensors {
    return {at::avg_pool2d(pool.padded(in[0], 0), pool.size, pool.stride, pool.padding, false, true,
                           pool.window.places())};
  };
}

Kernel make_average_pool_backward(const MakerContext& context) {
  const Pool pool(context.node.attributes, context.output());
  return [pool](std::span<const at::Tensor> in) -> Tensors {
    return {
        pool.cropped(at::avg_pool2d_backward(in[0], pool.map_like(in[0]), pool.size, pool.stride,
                                             pool.padding, false, true, pool.window.places()))};
  };
}

constexpr Maker kMakers[] = {
    {"max_pool", make_max_pool},
    {"max_pool_backward", make_max_pool_backward},
    {"average_pool", make_average_pool},
    {"average_pool_backward", make_average_pool_backward},
};

}  // namespace

std::span<const Maker> pool_makers() { return kMakers; }

}  // namespace expgraph::libtorch
