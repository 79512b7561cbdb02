// loss_scale: the meaning of unscale, all_finite and loss_scale_update.
#include <algorithm>

#include "backends/reference/kernels.h"

namespace expgraph::reference {

namespace {

template <typename T>
void unscale(const Attributes&, const KernelArgs& args) {
  const T* x = args.inputs[0].as<T>();
  const T scale = *args.inputs[1].as<T>();
  T* y = args.outputs[0].as<T>();
  for (int64_t i = 0; i < args.outputs[0].type.elements(); ++i) y[i] = x[i] / scale;
}

template <typename T>
void all_finite(const Attributes&, const KernelArgs& args) {
  const bool finite = std::ranges::all_of(
      args.inputs, [](const TensorView& input) { return expgraph::all_finite(input); });
  *args.outputs[0].as<T>() = finite ? T(1) : T(0);
}

template <typename T>
void loss_scale_update(const Attributes& attributes, const KernelArgs& args) {
  T scale = *args.inputs[0].as<T>(), steps = *args.inputs[1].as<T>();
  if (*args.inputs[2].as<T>() == 0) {
    scale = std::max(scale / 2, T(1));
    steps = 0;
  } else if (++steps >= static_cast<T>(attributes.integer("every"))) {
    scale = std::min(scale * 2, static_cast<T>(attributes.real("largest")));
    steps = 0;
  }
  if (args.outputs[0].data) *args.outputs[0].as<T>() = scale;
  if (args.outputs[1].data) *args.outputs[1].as<T>() = steps;
}

constexpr KernelEntry kKernels[] = {
    {"unscale", unscale<float>, unscale<double>},
    {"all_finite", all_finite<float>, all_finite<double>},
    {"loss_scale_update", loss_scale_update<float>, loss_scale_update<double>},
};

}  // namespace

std::span<const KernelEntry> loss_scale_kernels() { return kKernels; }

}  // namespace expgraph::reference
