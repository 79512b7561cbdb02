// conv: convolution and its gradients, each by ATen's operator for all three.
#include "backends/libtorch/kernels.h"
#include "core/ops/common.h"

namespace expgraph::libtorch {

namespace {

const std::vector<int64_t> kOnes{1, 1}, kZeros{0, 0};

struct Geometry {
  explicit Geometry(const MakerContext& context)
      : stride(to_list(pair(context.node.attributes, "stride"))),
        padding(to_list(pair(context.node.attributes, "padding"))) {}
  std::vector<int64_t> stride, padding;
};

std::optional<at::Tensor> optional(std::span<const at::Tensor> inputs, size_t k) {
  if (k < inputs.size() && inputs[k].defined()) return inputs[k];
  return std::nullopt;
}

Kernel make_conv(const MakerContext& context) {
  return [g = Geometry(context)](std::span<const at::Tensor> in) -> Tensors {
    return {at::convolution(in[0], in[1], optional(in, 2), g.stride, g.padding, kOnes, false,
                            kZeros, 1)};
  };
}

/// Stands for the operand of which the gradient's operator needs the shape alone; never touched.
at::Tensor shape_of(const TensorType& type, const at::Tensor& like) {
  return at::empty(type.shape, like.options(), at::MemoryFormat::ChannelsLast);
}

Kernel make_backward_data(const MakerContext& context) {
  return [g = Geometry(context), x = context.output()](std::span<const at::Tensor> in) -> Tensors {
    return {std::get<0>(at::convolution_backward(in[0], shape_of(x, in[0]), in[1], std::nullopt,
                                                 g.stride, g.padding, kOnes, false, kZeros, 1,
                                                 {true, false, false}))};
  };
}

Kernel make_backward_weights(const MakerContext& context) {
  return [g = Geometry(context), w = context.output()](std::span<const at::Tensor> in) -> Tensors {
    return {std::get<1>(at::convolution_backward(in[0], in[1], shape_of(w, in[0]), std::nullopt,
                                                 g.stride, g.padding, kOnes, false, kZeros, 1,
                                                 {false, true, false}))};
  };
}

constexpr Maker kMakers[] = {
    {"conv2d", make_conv},
    {"conv2d_backward_data", make_backward_data},
    {"conv2d_backward_weights", make_backward_weights},
};

}  // namespace

std::span<const Maker> conv_makers() { return kMakers; }

}  // namespace expgraph::libtorch
