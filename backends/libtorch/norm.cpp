// norm: batch normalisation and its gradient, statistics in the type of the parameters.
#include "backends/libtorch/kernels.h"

namespace expgraph::libtorch {

namespace {

Kernel make_batch_norm(const MakerContext& context) {
  const double epsilon = context.node.attributes.real("epsilon");
  const double momentum = context.node.attributes.real("momentum");
  // ATen moves the running statistics where they lie.
  const bool over_mean = context.over(3, 3), over_var = context.over(4, 4);
  return [=](std::span<const at::Tensor> in) -> Tensors {
    const at::Tensor running_mean = over_mean ? in[3] : in[3].clone();
    const at::Tensor running_var = over_var ? in[4] : in[4].clone();
    auto [y, mean, inverse_std] = at::native_batch_norm(in[0], in[1], in[2], running_mean,
                                                        running_var, true, momentum, epsilon);
    return {std::move(y), std::move(mean), std::move(inverse_std), running_mean, running_var};
  };
}

at::Tensor normalised(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& bias,
                      const at::Tensor& mean, const at::Tensor& var, double epsilon) {
  return std::get<0>(at::native_batch_norm(x, scale, bias, mean, var, false, 0, epsilon));
}

Kernel make_inference(const MakerContext& context) {
  const double epsilon = context.node.attributes.real("epsilon");
  return [epsilon](std::span<const at::Tensor> in) -> Tensors {
    return {normalised(in[0], in[1], in[2], in[3], in[4], epsilon)};
  };
}

Kernel make_apply(const MakerContext&) {
  return [](std::span<const at::Tensor> in) -> Tensors {
    return {normalised(in[0], in[1], in[2], in[3], in[4].pow(-2), 0)};
  };
}

Kernel make_backward(const MakerContext& context) {
  const std::array<bool, 3> wanted{context.read(0), context.read(1), context.read(2)};
  return [wanted](std::span<const at::Tensor> in) -> Tensors {
    auto [dx, dscale, dbias] = at::native_batch_norm_backward(
        in[0], in[1], in[2], std::nullopt, std::nullopt, in[3], in[4], true, 0, wanted);
    return {std::move(dx), std::move(dscale), std::move(dbias)};
  };
}

constexpr Maker kMakers[] = {
    {"batch_norm", make_batch_norm},
    {"batch_norm_inference", make_inference},
    {"batch_norm_apply", make_apply},
    {"batch_norm_backward", make_backward},
};

}  // namespace

std::span<const Maker> norm_makers() { return kMakers; }

}  // namespace expgraph::libtorch
