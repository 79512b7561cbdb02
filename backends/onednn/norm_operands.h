// norm_operands: what the kernels of normalisation share: operands, arrays a channel, parts.
#pragma once

#include "backends/onednn/kernels.h"

namespace expgraph::onednn {

/// The operands of a node's kernel, by their place among its inputs and outputs.
inline const float* input_at(const KernelArgs& args, int k) {
  return k < 0 ? nullptr : args.inputs[static_cast<size_t>(k)].as<float>();
}
inline float* output_at(const KernelArgs& args, int k) {
  return k < 0 ? nullptr : args.outputs[static_cast<size_t>(k)].as<float>();
}

/// Arrays of one float, or double, a channel, in a kernel's scratch.
template <typename T, size_t kCount>
class PerChannel {
 public:
  PerChannel(int64_t channels, ScratchPlan& scratch) : channels_(channels) {
    for (int64_t& at : at_) at = scratch.add(channels * int64_t{sizeof(T)});
  }
  T* of(const KernelArgs& args, size_t k) const {
    return reinterpret_cast<T*>(args.scratch + at_[k]);
  }
  T* zeroed(const KernelArgs& args, size_t k) const {
    std::fill_n(of(args, k), channels_, T(0));
    return of(args, k);
  }

 private:
  int64_t channels_;
  int64_t at_[kCount] = {};
};

/// The type of one of several equal parts of a batch.
inline TensorType part_of(TensorType type, int64_t splits) {
  type.shape[0] /= splits;
  return type;
}

}  // namespace expgraph::onednn
