// loss: cross entropy, its gradient, and top-k correct. A batch has few logits: one thread, sums
// in double.
#include <cmath>

#include "backends/onednn/kernels.h"
#include "core/host_labels.h"

namespace expgraph::onednn {

namespace {

struct Rows {
  explicit Rows(const TensorView& logits)
      : data(logits.as<float>()), n(logits.type.shape[0]), classes(logits.type.shape[1]) {}
  const float* at(int64_t row) const { return data + row * classes; }
  const float* data;
  int64_t n, classes;
};

/// log(sum(exp(row))), without overflow.
double log_sum_exp(const float* row, int64_t classes) {
  const double largest = *std::max_element(row, row + classes);
  double sum = 0;
  for (int64_t k = 0; k < classes; ++k) sum += std::exp(row[k] - largest);
  return largest + std::log(sum);
}

struct Reduction {
  explicit Reduction(const Attributes& attributes)
      : smoothing(attributes.real("label_smoothing")),
        mean(attributes.text("reduction") == "mean") {}
  double factor(int64_t n) const { return mean ? 1 / static_cast<double>(n) : 1; }
  double smoothing;
  bool mean;
};

Made cross_entropy(const MakerContext& context) {
  return dense(context, {[reduction = Reduction(context.node.attributes)](const KernelArgs& args) {
                 const Rows rows(args.inputs[0]);
                 const double s = reduction.smoothing, classes = static_cast<double>(rows.classes);
                 double loss = 0;
                 for (int64_t n = 0; n < rows.n; ++n) {
                   const float* row = rows.at(n);
                   const double norm = log_sum_exp(row, rows.classes);
                   double sum = 0;
                   for (int64_t k = 0; k < rows.classes; ++k) sum += norm - row[k];
                   const LabelTarget target(args, 1, n, rows.classes);
                   double at_labels = target.weight * (norm - row[target.label]);
                   if (target.weight < 1)
                     at_labels += (1 - target.weight) * (norm - row[target.other]);
                   loss += (1 - s) * at_labels + s * sum / classes;
                 }
                 *args.outputs[0].as<float>() = static_cast<float>(loss * reduction.factor(rows.n));
               }});
}

/// dlogits = dloss * (softmax - (1 - s) * onehot - s / classes), over n for the mean.
Made cross_entropy_backward(const MakerContext& context) {
  return dense(context, {[reduction = Reduction(context.node.attributes)](const KernelArgs& args) {
                 const Rows rows(args.inputs[1]);
                 const double dloss = *args.inputs[0].as<float>() * reduction.factor(rows.n);
                 const double others = reduction.smoothing / static_cast<double>(rows.classes);
                 for (int64_t n = 0; n < rows.n; ++n) {
                   const float* row = rows.at(n);
                   float* to = args.outputs[0].as<float>() + n * rows.classes;
                   const double norm = log_sum_exp(row, rows.classes);
                   const LabelTarget target(args, 2, n, rows.classes);
                   for (int64_t k = 0; k < rows.classes; ++k) {
                     const double wanted = (1 - reduction.smoothing) * target.at(k) + others;
                     to[k] = static_cast<float>(dloss * (std::exp(row[k] - norm) - wanted));
                   }
                 }
               }});
}

Made correct(const MakerContext& context) {
  return dense(context, {[k = context.node.attributes.integer("k")](const KernelArgs& args) {
                 const Rows rows(args.inputs[0]);
                 int64_t count = 0;
                 for (int64_t n = 0; n < rows.n; ++n) {
                   const float* row = rows.at(n);
                   const int64_t label = label_of(args.inputs[1], n, rows.classes);
                   int64_t before = 0;  // a NaN at the label: all others come before it
                   for (int64_t j = 0; j < rows.classes; ++j) {
                     const bool label_first =
                         row[label] > row[j] || (row[label] == row[j] && label <= j);
                     before += j != label && !label_first;
                   }
                   count += before < k;
                 }
                 *args.outputs[0].as<float>() = static_cast<float>(count);
               }});
}

constexpr Maker kMakers[] = {
    {"cross_entropy", cross_entropy},
    {"cross_entropy_backward", cross_entropy_backward},
    {"correct", correct},
};

}  // namespace

std::span<const Maker> loss_makers() { return kMakers; }

}  // namespace expgraph::onednn
