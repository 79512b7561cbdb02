// update: optimiser steps, in place where the plan writes them into their states. Elementwise ones
// run once over many parameters laid end to end.
#include "backends/libtorch/kernels.h"

namespace expgraph::libtorch {

namespace {

/// The tensor itself when it may be written, else a copy.
at::Tensor writable(const at::Tensor& state, bool over) { return over ? state : state.clone(); }

Kernel make_sgd_update(const MakerContext& context) {
  const Attributes& attributes = context.node.attributes;
  const double momentum = attributes.real("momentum"), decay = attributes.real("weight_decay");
  const bool nesterov = attributes.flag("nesterov");
  const bool over_parameter = context.over(0, 0);
  const bool over_momentum = momentum != 0 && context.over(1, 3);
  return [=](std::span<const at::Tensor> in) -> Tensors {
    const at::Tensor parameter = writable(in[0], over_parameter);
    at::Tensor gradient = in[1];
    // ATen's kernel walks over the bytes: all must lie alike.
    if (gradient.strides() != parameter.strides())
      gradient = at::empty_like(parameter).copy_(gradient);
    Tensors made{parameter};
    if (momentum != 0) made.push_back(writable(in[3], over_momentum));
    at::_fused_sgd_({parameter}, {gradient}, at::TensorList(made).slice(1), decay, momentum, in[2],
                    /*dampening=*/0, nesterov, /*maximize=*/false, /*is_first_step=*/false);
    return made;
  };
}

constexpr Maker kMakers[] = {
    {"sgd_update", make_sgd_update, true},
};

}  // namespace

std::span<const Maker> update_makers() { return kMakers; }

}  // namespace expgraph::libtorch
