// loss: the meaning of cross entropy, its gradient, and top-k correct.
#include <cmath>

#include "backends/reference/kernels.h"
#include "core/host_labels.h"

namespace expgraph::reference {

namespace {

struct Rows {
  explicit Rows(const TensorView& logits) : n(dim(logits, 0)), classes(dim(logits, 1)) {}
  int64_t n, classes;
};

/// log(sum(exp(row))), without overflow.
template <typename T>
double log_sum_exp(const T* row, int64_t classes) {
  const double largest = *std::max_element(row, row + classes);
  double sum = 0;
  for (int64_t k = 0; k < classes; ++k) sum += std::exp(row[k] - largest);
  return largest + std::log(sum);
}

/// Label smoothing (Szegedy et al., 2016): (1 - s) * nll + s * mean over classes of -log p.
template <typename T>
void cross_entropy(const Attributes& attributes, const KernelArgs& args) {
  const Rows rows(args.inputs[0]);
  const double s = attributes.real("label_smoothing");
  double loss = 0;
  for (int64_t n = 0; n < rows.n; ++n) {
    const T* row = args.inputs[0].as<T>() + n * rows.classes;
    const double norm = log_sum_exp(row, rows.classes);
    const LabelTarget target(args, 1, n, rows.classes);
    for (int64_t k = 0; k < rows.classes; ++k) {
      const double weight = (1 - s) * target.at(k) + s / static_cast<double>(rows.classes);
      if (weight > 0) loss += weight * (norm - row[k]);
    }
  }
  if (attributes.text("reduction") == "mean") loss /= static_cast<double>(rows.n);
  *args.outputs[0].as<T>() = static_cast<T>(loss);
}

/// dlogits = dloss * (softmax - (1 - s) * onehot - s / classes), over n for the mean.
template <typename T>
void cross_entropy_backward(const Attributes& attributes, const KernelArgs& args) {
  const Rows rows(args.inputs[1]);
  const double s = attributes.real("label_smoothing");
  double dloss = *args.inputs[0].as<T>();
  if (attributes.text("reduction") == "mean") dloss /= static_cast<double>(rows.n);
  for (int64_t n = 0; n < rows.n; ++n) {
    const T* row = args.inputs[1].as<T>() + n * rows.classes;
    T* drow = args.outputs[0].as<T>() + n * rows.classes;
    const double norm = log_sum_exp(row, rows.classes);
    const LabelTarget target(args, 2, n, rows.classes);
    for (int64_t k = 0; k < rows.classes; ++k) {
      const double weight = (1 - s) * target.at(k) + s / static_cast<double>(rows.classes);
      drow[k] = static_cast<T>(dloss * (std::exp(row[k] - norm) - weight));
    }
  }
}

template <typename T>
void correct(const Attributes& attributes, const KernelArgs& args) {
  const Rows rows(args.inputs[0]);
  const int64_t k = attributes.integer("k");
  int64_t count = 0;
  for (int64_t n = 0; n < rows.n; ++n) {
    const T* row = args.inputs[0].as<T>() + n * rows.classes;
    const int64_t label = label_of(args.inputs[1], n, rows.classes);
    int64_t before = 0;  // classes that come before the label; a NaN at the label: all of them
    for (int64_t j = 0; j < rows.classes; ++j) {
      const bool label_first = row[label] > row[j] || (row[label] == row[j] && label <= j);
      before += j != label && !label_first;
    }
    count += before < k;
  }
  *args.outputs[0].as<T>() = static_cast<T>(count);
}

constexpr KernelEntry kKernels[] = {
    {"cross_entropy", cross_entropy<float>, cross_entropy<double>},
    {"cross_entropy_backward", cross_entropy_backward<float>, cross_entropy_backward<double>},
    {"correct", correct<float>, correct<double>},
};

}  // namespace

std::span<const KernelEntry> loss_kernels() { return kKernels; }

}  // namespace expgraph::reference
