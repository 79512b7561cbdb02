// elementwise: the meaning of relu, celu, gelu, add, scale, scale_by and constant.
#include <cmath>
#include <numbers>

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
void celu(const Attributes& attributes, const KernelArgs& args) {
  const double alpha = attributes.real("alpha");
  const T* x = args.inputs[0].as<T>();
  T* y = args.outputs[0].as<T>();
  for (int64_t i = 0; i < args.outputs[0].type.elements(); ++i)
    y[i] = x[i] > 0 ? x[i] : static_cast<T>(alpha * std::expm1(x[i] / alpha));
}

template <typename T>
void celu_backward(const Attributes& attributes, const KernelArgs& args) {
  const double alpha = attributes.real("alpha");
  const T* dy = args.inputs[0].as<T>();
  const T* y = args.inputs[1].as<T>();
  T* dx = args.outputs[0].as<T>();
  for (int64_t i = 0; i < args.outputs[0].type.elements(); ++i)
    dx[i] = y[i] > 0 ? dy[i] : static_cast<T>(dy[i] * (y[i] / alpha + 1));
}

/// The part of a standard normal distribution that lies below x.
double normal_below(double x) { return std::erfc(-x * std::numbers::sqrt2 / 2) / 2; }

template <typename T>
void gelu(const Attributes&, const KernelArgs& args) {
  const T* x = args.inputs[0].as<T>();
  T* y = args.outputs[0].as<T>();
  for (int64_t i = 0; i < args.outputs[0].type.elements(); ++i)
    y[i] = static_cast<T>(x[i] * normal_below(x[i]));
}

template <typename T>
void gelu_backward(const Attributes&, const KernelArgs& args) {
  const T* dy = args.inputs[0].as<T>();
  const T* x = args.inputs[1].as<T>();
  T* dx = args.outputs[0].as<T>();
  for (int64_t i = 0; i < args.outputs[0].type.elements(); ++i) {
    const double at = x[i];
    const double density = std::exp(-at * at / 2) * std::numbers::inv_sqrtpi / std::numbers::sqrt2;
    dx[i] = static_cast<T>(dy[i] * (normal_below(at) + at * density));
  }
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

template <typename From, typename To>
void convert(const KernelArgs& args) {
  To* y = args.outputs[0].as<To>();
  for (int64_t i = 0; i < args.outputs[0].type.elements(); ++i)
    y[i] = static_cast<To>(args.inputs[0].as<From>()[i]);
}

/// 16-bit types come and go as floats: see rounding.h.
void cast(const Attributes&, const KernelArgs& args) {
  const bool from_double = args.inputs[0].type.dtype == DType::f64;
  const bool to_double = args.outputs[0].type.dtype == DType::f64;
  if (from_double)
    (to_double ? convert<double, double> : convert<double, float>)(args);
  else
    (to_double ? convert<float, double> : convert<float, float>)(args);
}

template <typename T>
void constant(const Attributes& attributes, const KernelArgs& args) {
  T* y = args.outputs[0].as<T>();
  std::fill_n(y, args.outputs[0].type.elements(), static_cast<T>(attributes.real("value")));
}

constexpr KernelEntry kKernels[] = {
    {"relu", relu<float>, relu<double>},
    {"relu_backward", relu_backward<float>, relu_backward<double>},
    {"celu", celu<float>, celu<double>},
    {"celu_backward", celu_backward<float>, celu_backward<double>},
    {"gelu", gelu<float>, gelu<double>},
    {"gelu_backward", gelu_backward<float>, gelu_backward<double>},
    {"add", add<float>, add<double>},
    {"scale", scale<float>, scale<double>},
    {"scale_by", scale_by<float>, scale_by<double>},
    {"cast", cast, cast},
    {"constant", constant<float>, constant<double>},
};

}  // namespace

std::span<const KernelEntry> elementwise_kernels() { return kKernels; }

}  // namespace expgraph::reference
