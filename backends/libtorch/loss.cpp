// loss: cross entropy, its gradient, and top-k correct.
#include "backends/libtorch/kernels.h"

namespace expgraph::libtorch {

namespace {

struct Reduction {
  explicit Reduction(const Attributes& attributes)
      : smoothing(attributes.real("label_smoothing")),
        mean(attributes.text("reduction") == "mean") {}
  double smoothing;
  bool mean;
};

/// Classes' weights of each sample [N, K]: a label's, or those of two labels that share it.
at::Tensor shared_labels(const at::Tensor& logits, const at::Tensor& label, const at::Tensor& other,
                         const at::Tensor& weight) {
  const at::Tensor classes = at::arange(logits.size(1), label.options()).unsqueeze(0);
  const at::Tensor part = (weight.to(logits.scalar_type()) / 65536).unsqueeze(1);
  return label.unsqueeze(1).eq(classes) * part + other.unsqueeze(1).eq(classes) * (1 - part);
}

Kernel make_cross_entropy(const MakerContext& context) {
  const bool mixed = context.has(2);
  return [r = Reduction(context.node.attributes),
          mixed](std::span<const at::Tensor> in) -> Tensors {
    if (mixed)
      return {at::cross_entropy_loss(in[0], shared_labels(in[0], in[1], in[2], in[3]), std::nullopt,
                                     r.mean ? at::Reduction::Mean : at::Reduction::Sum,
                                     /*ignore_index=*/-100, r.smoothing)};
    return {at::cross_entropy_loss(in[0], in[1].to(at::kLong), std::nullopt,
                                   r.mean ? at::Reduction::Mean : at::Reduction::Sum,
                                   /*ignore_index=*/-100, r.smoothing)};
  };
}

/// dlogits = dloss * (softmax - (1 - s) * onehot - s / classes), over n for the mean; in double, as
/// the terms cancel.
Kernel make_cross_entropy_backward(const MakerContext& context) {
  return [r = Reduction(context.node.attributes), n = context.input(1).shape[0],
          mixed = context.has(3)](std::span<const at::Tensor> in) -> Tensors {
    const at::Tensor labels = in[2].to(at::kLong).unsqueeze(1);
    const at::Tensor logits = in[1].to(at::kDouble);
    at::Tensor gradient = at::softmax(logits, 1);
    const at::Tensor target = at::full_like(labels, r.smoothing - 1, gradient.options());
    if (mixed)
      gradient.sub_(shared_labels(logits, in[2], in[3], in[4]), 1 - r.smoothing);
    else
      gradient.scatter_add_(1, labels, target);
    if (r.smoothing != 0) gradient.sub_(r.smoothing / double(in[1].size(1)));
    gradient.mul_(r.mean ? in[0] / double(n) : in[0]);
    return {gradient.to(in[1].scalar_type())};
  };
}

/// Of equal logits the first comes first; all others come before a label whose logit is NaN.
Kernel make_correct(const MakerContext& context) {
  return [k = context.node.attributes.integer("k"),
          type = context.output()](std::span<const at::Tensor> in) -> Tensors {
    const at::Tensor labels = in[1].to(at::kLong).unsqueeze(1);
    const at::Tensor classes = at::arange(in[0].size(1), labels.options());
    const at::Tensor own = in[0].gather(1, labels);
    const at::Tensor label_first =
        own.gt(in[0]).logical_or_(own.eq(in[0]).logical_and_(labels.le(classes)));
    const at::Tensor before = label_first.logical_not_().logical_and_(labels.ne(classes)).sum(1);
    return {before.lt(k).sum().to(scalar_type(type.dtype))};
  };
}

constexpr Maker kMakers[] = {
    {"cross_entropy", make_cross_entropy},
    {"cross_entropy_backward", make_cross_entropy_backward},
    {"correct", make_correct},
};

}  // namespace

std::span<const Maker> loss_makers() { return kMakers; }

}  // namespace expgraph::libtorch
