// adaptive: the steps of adam, lars and muon, in place where the plan writes them into their
// states.
#include <cmath>

#include "backends/libtorch/kernels.h"

namespace expgraph::libtorch {

namespace {

/// The states of outputs 0, 1, ..., which are inputs `inputs`, where they may be written.
struct InPlace {
  InPlace(const MakerContext& context, std::vector<size_t> inputs) : from(std::move(inputs)) {
    for (size_t k = 0; k < from.size(); ++k) over.push_back(context.over(k, from[k]));
  }
  /// Each where it lies, or a copy of it.
  Tensors writable(std::span<const at::Tensor> in) const {
    Tensors made;
    for (size_t k = 0; k < from.size(); ++k)
      made.push_back(over[k] ? in[from[k]] : in[from[k]].clone());
    return made;
  }
  std::vector<size_t> from;
  std::vector<bool> over;
};

/// Scalars are few: the corrections, which cancel, are taken in double.
Kernel make_adam(const MakerContext& context) {
  const Attributes& attributes = context.node.attributes;
  return [states = InPlace(context, {0, 5, 6}), beta2 = attributes.real("beta2"),
          epsilon = attributes.real("epsilon"),
          decay = attributes.real("weight_decay")](std::span<const at::Tensor> in) -> Tensors {
    Tensors made = states.writable(in);
    const at::Tensor& gradient = in[1];
    const at::Tensor lr = in[2].to(at::kDouble), steps = in[3].to(at::kDouble);
    const at::Tensor beta1 = in[4].to(at::kDouble);
    const at::Tensor rate = lr / (1 - beta1.pow(steps));
    const at::Tensor root = (1 - at::pow(beta2, steps)).sqrt();
    made[1].mul_(beta1).add_(gradient * (1 - beta1));
    made[2].mul_(beta2).addcmul_(gradient, gradient, 1 - beta2);
    const at::Tensor divisor = made[2].sqrt().div_(root).add_(epsilon);
    made[0].mul_(1 - lr * decay).sub_((made[1] / divisor).mul_(rate));
    return made;
  };
}

Kernel make_lars(const MakerContext& context) {
  const Attributes& attributes = context.node.attributes;
  return [states = InPlace(context, {0, 3}), momentum = attributes.real("momentum"),
          decay = attributes.real("weight_decay"),
          trust = attributes.real("trust")](std::span<const at::Tensor> in) -> Tensors {
    Tensors made = states.writable(in);
    const at::Tensor length = in[0].norm(), slope = in[1].norm();
    const at::Tensor trusted = length * trust / (slope + length * decay);
    const at::Tensor moves = length.gt(0).logical_and_(slope.gt(0));
    const at::Tensor rate = in[2] * at::where(moves, trusted, at::ones_like(trusted));
    made[1].mul_(momentum).add_((in[0] * decay).add_(in[1]).mul_(rate));
    made[0].sub_(made[1]);
    return made;
  };
}

/// `iterations` times x = 3.4445 x + (-4.775 a + 2.0315 a a) x with a = x x^T.
at::Tensor orthogonalised(at::Tensor x, int64_t iterations) {
  const bool tall = x.size(0) > x.size(1);  // a is smaller of the transpose, which gives the same
  if (tall) x = x.t();
  for (int64_t k = 0; k < iterations; ++k) {
    const at::Tensor a = at::mm(x, x.t());
    x = at::addmm(x, at::addmm(a, a, a, -4.775, 2.0315), x, 3.4445, 1);
  }
  return tall ? x.t() : x;
}

Kernel make_muon(const MakerContext& context) {
  const Attributes& attributes = context.node.attributes;
  return
      [states = InPlace(context, {0, 3}), momentum = attributes.real("momentum"),
       nesterov = attributes.flag("nesterov"), normalise = attributes.flag("normalise"),
       iterations = attributes.integer("iterations")](std::span<const at::Tensor> in) -> Tensors {
        Tensors made = states.writable(in);
        made[1].mul_(momentum).add_(in[1]);
        const int64_t rows = in[0].size(0);
        at::Tensor x = nesterov ? made[1] * momentum + in[1] : made[1].clone();
        x = x.reshape({rows, -1});
        x = orthogonalised(x / (x.norm() + 1e-7), iterations).reshape(in[0].sizes());
        if (normalise) made[0].mul_(std::sqrt(static_cast<double>(rows)) / in[0].norm());
        made[0].sub_(x * in[2]);
        return made;
      };
}

constexpr Maker kMakers[] = {
    {"adam_update", make_adam, true},
    {"lars_update", make_lars},
    {"muon_update", make_muon},
};

}  // namespace

std::span<const Maker> adaptive_makers() { return kMakers; }

}  // namespace expgraph::libtorch
