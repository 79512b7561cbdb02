// adaptive: the meaning of the steps of adam, lars and muon.
#include <cmath>
#include <vector>

#include "backends/reference/kernels.h"

namespace expgraph::reference {

namespace {

template <typename T>
double length_of(const T* values, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(values[i]) * values[i];
  return std::sqrt(sum);
}

/// Element i of output k, where somebody reads it.
template <typename T>
void store(const KernelArgs& args, size_t k, int64_t i, double value) {
  if (args.outputs[k].data != nullptr) args.outputs[k].as<T>()[i] = static_cast<T>(value);
}

template <typename T>
void adam_update(const Attributes& attributes, const KernelArgs& args) {
  const double beta2 = attributes.real("beta2"), epsilon = attributes.real("epsilon");
  const T* parameter = args.inputs[0].as<T>();
  const T* gradient = args.inputs[1].as<T>();
  const double lr = *args.inputs[2].as<T>(), steps = *args.inputs[3].as<T>();
  const double beta1 = *args.inputs[4].as<T>();
  const T* mean = args.inputs[5].as<T>();
  const T* square = args.inputs[6].as<T>();
  const double keep = 1 - lr * attributes.real("weight_decay");
  const double rate = lr / (1 - std::pow(beta1, steps));
  const double root = std::sqrt(1 - std::pow(beta2, steps));
  for (int64_t i = 0; i < args.inputs[0].type.elements(); ++i) {
    const double g = gradient[i];
    const double m = beta1 * mean[i] + (1 - beta1) * g;
    const double v = beta2 * square[i] + (1 - beta2) * g * g;
    const double step = rate * m / (std::sqrt(v) / root + epsilon);
    store<T>(args, 0, i, keep * parameter[i] - step);
    store<T>(args, 1, i, m);
    store<T>(args, 2, i, v);
  }
}

template <typename T>
void lars_update(const Attributes& attributes, const KernelArgs& args) {
  const double momentum = attributes.real("momentum"), decay = attributes.real("weight_decay");
  const int64_t count = args.inputs[0].type.elements();
  const T* parameter = args.inputs[0].as<T>();
  const T* gradient = args.inputs[1].as<T>();
  const T* m = args.inputs[3].as<T>();
  const double length = length_of(parameter, count), slope = length_of(gradient, count);
  const double trusted = attributes.real("trust") * length / (slope + decay * length);
  const double rate = *args.inputs[2].as<T>() * (length > 0 && slope > 0 ? trusted : 1);
  for (int64_t i = 0; i < count; ++i) {
    const double velocity = momentum * m[i] + rate * (gradient[i] + decay * parameter[i]);
    store<T>(args, 0, i, parameter[i] - velocity);
    store<T>(args, 1, i, velocity);
  }
}

using Matrix = std::vector<double>;  // row-major

/// a [m, k] times b [k, n].
Matrix product(const Matrix& a, const Matrix& b, size_t m, size_t k, size_t n) {
  Matrix c(m * n, 0);
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < k; ++j) {
      for (size_t l = 0; l < n; ++l) c[i * n + l] += a[i * k + j] * b[j * n + l];
    }
  }
  return c;
}

Matrix transpose(const Matrix& a, size_t rows, size_t columns) {
  Matrix b(a.size());
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < columns; ++j) b[j * rows + i] = a[i * columns + j];
  }
  return b;
}

/// One iteration: 3.4445 X + (-4.775 A + 2.0315 A A) X with A = X X^T.
Matrix orthogonalise(const Matrix& x, size_t rows, size_t columns) {
  const Matrix a = product(x, transpose(x, rows, columns), rows, columns, rows);
  Matrix b = product(a, a, rows, rows, rows);
  for (size_t i = 0; i < b.size(); ++i) b[i] = 2.0315 * b[i] - 4.775 * a[i];
  Matrix y = product(b, x, rows, rows, columns);
  for (size_t i = 0; i < y.size(); ++i) y[i] += 3.4445 * x[i];
  return y;
}

template <typename T>
void muon_update(const Attributes& attributes, const KernelArgs& args) {
  const double momentum = attributes.real("momentum"), lr = *args.inputs[2].as<T>();
  const bool nesterov = attributes.flag("nesterov");
  const int64_t count = args.inputs[0].type.elements();
  const auto rows = static_cast<size_t>(dim(args.inputs[0], 0));
  const size_t columns = static_cast<size_t>(count) / rows;
  const T* parameter = args.inputs[0].as<T>();
  const T* gradient = args.inputs[1].as<T>();
  Matrix x;
  for (int64_t i = 0; i < count; ++i) {
    const double velocity = momentum * args.inputs[3].as<T>()[i] + gradient[i];
    x.push_back(nesterov ? gradient[i] + momentum * velocity : velocity);
    store<T>(args, 1, i, velocity);
  }
  const double length = length_of(x.data(), count) + 1e-7;
  for (double& value : x) value /= length;
  for (int64_t k = 0; k < attributes.integer("iterations"); ++k)
    x = orthogonalise(x, rows, columns);
  const double own = length_of(parameter, count);
  const double scale =
      attributes.flag("normalise") ? std::sqrt(static_cast<double>(rows)) / own : 1;
  for (int64_t i = 0; i < count; ++i) {
    store<T>(args, 0, i, parameter[i] * scale - lr * x[static_cast<size_t>(i)]);
  }
}

constexpr KernelEntry kKernels[] = {
    {"adam_update", adam_update<float>, adam_update<double>},
    {"lars_update", lars_update<float>, lars_update<double>},
    {"muon_update", muon_update<float>, muon_update<double>},
};

}  // namespace

std::span<const KernelEntry> adaptive_kernels() { return kKernels; }

}  // namespace expgraph::reference
