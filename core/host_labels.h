// host_labels: the label inputs of a loss -> what each sample is to be, for kernels on the host.
#pragma once

#include "core/host_executor.h"

namespace expgraph {

/// The class of a sample, i32 in 0 .. classes-1.
inline int64_t label_of(const TensorView& labels, int64_t sample, int64_t classes) {
  const int64_t label = labels.as<int32_t>()[sample];
  EXPGRAPH_CHECK(label >= 0 && label < classes);
  return label;
}

/// The labels of a sample with their weights: one, or two that share it; at input `first` the
/// label, then other and weight in 65536ths.
struct LabelTarget {
  LabelTarget(const KernelArgs& args, size_t first, int64_t sample, int64_t classes)
      : label(label_of(args.inputs[first], sample, classes)), other(label) {
    if (args.inputs[first + 1].data == nullptr) return;
    other = label_of(args.inputs[first + 1], sample, classes);
    weight = args.inputs[first + 2].as<int32_t>()[sample] / 65536.0;
  }
  double at(int64_t k) const { return (k == label) * weight + (k == other) * (1 - weight); }
  int64_t label, other;
  double weight = 1;
};

}  // namespace expgraph
