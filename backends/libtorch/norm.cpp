// norm: batch normalisation and its gradient, statistics in the type of the parameters.
#include "backends/libtorch/kernels.h"

namespace expgraph::libtorch {

namespace {

/// Each part of the batch on its own; the running statistics move by the mean of the parts'.
Kernel make_ghost(double epsilon, double momentum, int64_t splits) {
  return [=](std::span<const at::Tensor> in) -> Tensors {
    Tensors ys, means, deviations;
    at::Tensor running_mean = in[3] * (1 - momentum), running_var = in[4] * (1 - momentum);
    for (const at::Tensor& part : in[0].chunk(splits)) {
      const at::Tensor mean = in[3].clone(), var = in[4].clone();
      auto [y, part_mean, inverse_std] =
          at::native_batch_norm(part, in[1], in[2], mean, var, true, 1, epsilon);
      running_mean.add_(mean, momentum / double(splits));
      running_var.add_(var, momentum / double(splits));
      ys.push_back(std::move(y));
      means.push_back(std::move(part_mean));
      deviations.push_back(std::move(inverse_std));
    }
    return {at::cat(ys), at::cat(means), at::cat(deviations), running_mean, running_var};
  };
}

Kernel make_batch_norm(const MakerContext& context) {
  const double epsilon = context.node.attributes.real("epsilon");
  const double momentum = context.node.attributes.real("momentum");
  // ATen moves the running statistics where they lie.
  const bool over_mean = context.over(3, 3), over_var = context.over(4, 4);
  const int64_t splits = context.node.attributes.integer("splits");
  if (splits > 1) return make_ghost(epsilon, momentum, splits);
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

/// scale * (x - mean) * inverse_std + bias as one product and one sum.
at::Tensor applied(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& bias,
                   const at::Tensor& mean, const at::Tensor& inverse_std) {
  const at::Tensor factor = scale.defined() ? scale * inverse_std : inverse_std;
  const at::Tensor offset = bias.defined() ? bias - mean * factor : -(mean * factor);
  std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
  shape[1] = x.size(1);
  return at::addcmul(offset.view(shape), x, factor.view(shape)).to(x.scalar_type());
}

Kernel make_apply(const MakerContext& context) {
  const int64_t splits = context.input(3).shape[0] / context.input(0).shape[1];
  return [splits](std::span<const at::Tensor> in) -> Tensors {
    if (splits == 1) return {applied(in[0], in[1], in[2], in[3], in[4])};
    const Tensors x = in[0].chunk(splits), mean = in[3].chunk(splits),
                  inverse_std = in[4].chunk(splits);
    Tensors ys;
    for (size_t k = 0; k < x.size(); ++k)
      ys.push_back(applied(x[k], in[1], in[2], mean[k], inverse_std[k]));
    return {at::cat(ys)};
  };
}

Kernel make_backward(const MakerContext& context) {
  const std::array<bool, 3> wanted{context.read(0), context.read(1), context.read(2)};
  const int64_t splits = context.input(3).shape[0] / context.input(1).shape[1];
  return [wanted, splits](std::span<const at::Tensor> in) -> Tensors {
    const Tensors dy = in[0].chunk(splits), x = in[1].chunk(splits), mean = in[3].chunk(splits),
                  inverse_std = in[4].chunk(splits);
    Tensors dxs, sums(2);
    for (size_t k = 0; k < x.size(); ++k) {
      auto [dx, dscale, dbias] = at::native_batch_norm_backward(
          dy[k], x[k], in[2], std::nullopt, std::nullopt, mean[k], inverse_std[k], true, 0, wanted);
      dxs.push_back(std::move(dx));
      for (size_t s = 0; s < 2; ++s) {
        const at::Tensor& part = s == 0 ? dscale : dbias;
        sums[s] = sums[s].defined() ? sums[s] + part : part;
      }
    }
    if (splits == 1) return {std::move(dxs[0]), std::move(sums[0]), std::move(sums[1])};
    return {wanted[0] ? at::cat(dxs) : at::Tensor(), sums[0], sums[1]};
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
