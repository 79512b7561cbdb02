// loss_scale: gradients divided by the factor, the search for an overflow, and the next factor, all
// on the device.
#include "backends/libtorch/kernels.h"

namespace expgraph::libtorch {

namespace {

Kernel make_unscale(const MakerContext&) {
  return [](std::span<const at::Tensor> in) -> Tensors { return {in[0] / in[1]}; };
}

Kernel make_all_finite(const MakerContext& context) {
  return [dtype = scalar_type(context.output().dtype)](std::span<const at::Tensor> in) -> Tensors {
    at::Tensor finite = at::isfinite(in[0]).all();
    for (const at::Tensor& x : in.subspan(1)) finite.logical_and_(at::isfinite(x).all());
    return {finite.to(dtype)};
  };
}

Kernel make_loss_scale_update(const MakerContext& context) {
  const Attributes& attributes = context.node.attributes;
  return [every = attributes.integer("every"),
          largest = attributes.real("largest")](std::span<const at::Tensor> in) -> Tensors {
    const at::Tensor finite = in[2].ne(0), steps = in[1] + 1;
    const at::Tensor grows = steps.ge(every);
    const at::Tensor grown = at::where(grows, (in[0] * 2).clamp_max(largest), in[0]);
    return {at::where(finite, grown, (in[0] / 2).clamp_min(1)),
            steps.masked_fill(grows.logical_or(finite.logical_not()), 0)};
  };
}

constexpr Maker kMakers[] = {
    {"unscale", make_unscale},
    {"all_finite", make_all_finite},
    {"loss_scale_update", make_loss_scale_update},
};

}  // namespace

std::span<const Maker> loss_scale_makers() { return kMakers; }

}  // namespace expgraph::libtorch
