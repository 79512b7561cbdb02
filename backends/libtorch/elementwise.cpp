// elementwise: activations, their gradients, add, scale, scale_by and constant.
#include "backends/libtorch/kernels.h"

namespace expgraph::libtorch {

namespace {

Kernel make_relu(const MakerContext&) {
  return [](std::span<const at::Tensor> in) -> Tensors { return {at::relu(in[0])}; };
}

/// dx = y > 0 ? dy : 0.
Kernel make_relu_backward(const MakerContext&) {
  return [](std::span<const at::Tensor> in) -> Tensors {
    return {at::threshold_backward(in[0], in[1], 0)};
  };
}

Kernel make_celu(const MakerContext& context) {
  return [alpha = context.node.attributes.real("alpha")](
             std::span<const at::Tensor> in) -> Tensors { return {at::celu(in[0], alpha)}; };
}

/// dx = y > 0 ? dy : dy * (y / alpha + 1).
Kernel make_celu_backward(const MakerContext& context) {
  return
      [alpha = context.node.attributes.real("alpha")](std::span<const at::Tensor> in) -> Tensors {
        return {at::where(in[1].gt(0), in[0], in[0] * (in[1] / alpha + 1))};
      };
}

Kernel make_gelu(const MakerContext&) {
  return [](std::span<const at::Tensor> in) -> Tensors { return {at::gelu(in[0])}; };
}

Kernel make_gelu_backward(const MakerContext&) {
  return
      [](std::span<const at::Tensor> in) -> Tensors { return {at::gelu_backward(in[0], in[1])}; };
}

Kernel make_add(const MakerContext&) {
  return [](std::span<const at::Tensor> in) -> Tensors {
    if (in.size() == 1) return {in[0]};
    at::Tensor sum = in[0] + in[1];
    for (const at::Tensor& x : in.subspan(2)) sum.add_(x);
    return {std::move(sum)};
  };
}

Kernel make_scale(const MakerContext& context) {
  return [factor = context.node.attributes.real("factor")](
             std::span<const at::Tensor> in) -> Tensors { return {in[0] * factor}; };
}

Kernel make_scale_by(const MakerContext&) {
  return [](std::span<const at::Tensor> in) -> Tensors { return {in[0] * in[1]}; };
}

Kernel make_constant(const MakerContext& context) {
  return [value = context.node.attributes.real("value"), type = context.output(),
          device = context.device](std::span<const at::Tensor>) -> Tensors {
    return {at::full(type.shape, value, at::dtype(scalar_type(type.dtype)).device(device))};
  };
}

Kernel make_cast(const MakerContext& context) {
  const at::ScalarType type = scalar_type(context.output().dtype);
  return [type](std::span<const at::Tensor> in) -> Tensors { return {in[0].to(type)}; };
}

constexpr Maker kMakers[] = {
    {"cast", make_cast},
    {"celu", make_celu},
    {"celu_backward", make_celu_backward},
    {"gelu", make_gelu},
    {"gelu_backward", make_gelu_backward},
    {"relu", make_relu},
    {"relu_backward", make_relu_backward},
    {"add", make_add},
    {"scale", make_scale},
    {"scale_by", make_scale_by},
    {"constant", make_constant},
};

}  // namespace

std::span<const Maker> elementwise_makers() { return kMakers; }

}  // namespace expgraph::libtorch
