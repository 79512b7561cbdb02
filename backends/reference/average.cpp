// average: the meaning of average_update and choose.
#include "backends/reference/kernels.h"

namespace expgraph::reference {

namespace {

template <typename T>
void average_update(const Attributes&, const KernelArgs& args) {
  const T* average = args.inputs[0].as<T>();
  const T* x = args.inputs[1].as<T>();
  const double part = *args.inputs[3].as<T>() * (1.0 - *args.inputs[2].as<T>());
  T* y = args.outputs[0].as<T>();
  for (int64_t i = 0; i < args.outputs[0].type.elements(); ++i) {
    y[i] = static_cast<T>(average[i] + part * (x[i] - average[i]));
  }
}

template <typename T>
void choose(const Attributes&, const KernelArgs& args) {
  const bool other = *args.inputs[2].as<T>() != 0;
  const T* from = args.inputs[1].as<T>();
  if (!other) from = args.inputs[0].as<T>();
  T* y = args.outputs[0].as<T>();
  std::copy_n(from, args.outputs[0].type.elements(), y);
}

constexpr KernelEntry kKernels[] = {
    {"average_update", average_update<float>, average_update<double>},
    {"choose", choose<float>, choose<double>},
};

}  // namespace

std::span<const KernelEntry> average_kernels() { return kKernels; }

}  // namespace expgraph::reference
