// elementwise: the meaning of relu, add, scale, scale_by and constant.
#include "backends/reference/kernels.h"

namespace expgraph::reference {

namespace {

template <typename T>
void relu(const Attributes&, const KernelArgs& args) {
  const T* x = args.inputs[0].as<T>();
  T* y = args.outputs[0].as<T>();
  // NaN is not less than 0, so it goes through and is found.
  for (int64_t i = 0; i < args.outputs[0].type.elements(); ++i) y[i] = x[i] < 0 ? T(0) : x[i];
}

template <typename T>
void relu_backward(const Attributes&, const KernelArgs& args) {
  const T* dy = args.inputs[0].as<T>();
  const T* y = args.inputs[1].as<T>();
  T* dx = args.outputs[0].as<T>();
  for (int64_t i = 0; i < args.outputs[0].type.elements(); ++i) dx[i] = y[i] > 0 ? dy[i] : T(0);
}

template <typename T>
void add(const Attributes&, const KernelArgs& args) {
  T* y = args.outputs[0].as<T>();
  for (int64_t i = 0; i < args.outputs[0].type.elements(); ++i) {
    T sum = args.inputs[0].as<T>()[i];
    for (const TensorView& x : args.inputs.subspan(1)) sum += x.as<T>()[i];
    y[i] = sum;
  }
}

template <typename T>
void scale(const Attributes& attributes, const KernelArgs& args) {
  const T factor = static_cast<T>(attributes.real("factor"));
  const T* x = args.inputs[0].as<T>();
  T* y = args.outputs[0].as<T>();
  for (int64_t i = 0; i < args.outputs[0].type.elements(); ++i) y[i] = factor * x[i];
}

template <typename T>
void scale_by(const Attributes&, const KernelArgs& args) {
  const T* x = args.inputs[0].as<T>();
  const T factor = *args.inputs[1].as<T>();
  T* y = args.outputs[0].as<T>();
  for (int64_t i = 0; i < args.outputs[0].type.elements(); ++i) y[i] = factor * x[i];
}

template <typename T>
void constant(const Attributes& attributes, const KernelArgs& args) {
  T* y = args.outputs[0].as<T>();
  std::fill_n(y, args.outputs[0].type.elements(), static_cast<T>(attributes.real("value")));
}

constexpr KernelEntry kKernels[] = {
    {"relu", relu<float>, relu<double>},
    {"relu_backward", relu_backward<float>, relu_backward<double>},
    {"add", add<float>, add<double>},
    {"scale", scale<float>, scale<double>},
    {"scale_by", scale_by<float>, scale_by<double>},
    {"constant", constant<float>, constant<double>},
};

}  // namespace

std::span<const KernelEntry> elementwise_kernels() { return kKernels; }

}  // namespace expgraph::reference
