// matmul: the meaning of linear and its gradients. Sums are taken in double.
#include <vector>

#include "backends/reference/kernels.h"

namespace expgraph::reference {

namespace {

/// y[N,M] = x[N,K] w[M,K]^T + b[M]
template <typename T>
void linear(const Attributes&, const KernelArgs& args) {
  const int64_t N = dim(args.inputs[0], 0), K = dim(args.inputs[0], 1), M = dim(args.inputs[1], 0);
  const T* x = args.inputs[0].as<T>();
  const T* w = args.inputs[1].as<T>();
  const T* b = args.inputs.size() > 2 ? args.inputs[2].as<T>() : nullptr;
  T* y = args.outputs[0].as<T>();
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t m = 0; m < M; ++m) {
      double sum = b ? b[m] : 0;
      for (int64_t k = 0; k < K; ++k) sum += double(x[n * K + k]) * w[m * K + k];
      y[n * M + m] = static_cast<T>(sum);
    }
  }
}

/// dx[N,K] = dy[N,M] w[M,K]
template <typename T>
void linear_backward_data(const Attributes&, const KernelArgs& args) {
  const int64_t N = dim(args.inputs[0], 0), M = dim(args.inputs[0], 1), K = dim(args.inputs[1], 1);
  const T* dy = args.inputs[0].as<T>();
  const T* w = args.inputs[1].as<T>();
  T* dx = args.outputs[0].as<T>();
  std::vector<double> sums(static_cast<size_t>(K));
  for (int64_t n = 0; n < N; ++n) {
    std::fill(sums.begin(), sums.end(), 0);
    for (int64_t m = 0; m < M; ++m)
      for (int64_t k = 0; k < K; ++k)
        sums[static_cast<size_t>(k)] += double(dy[n * M + m]) * w[m * K + k];
    for (int64_t k = 0; k < K; ++k) dx[n * K + k] = static_cast<T>(sums[static_cast<size_t>(k)]);
  }
}

/// dw[M,K] = dy[N,M]^T x[N,K]
template <typename T>
void linear_backward_weights(const Attributes&, const KernelArgs& args) {
  const int64_t N = dim(args.inputs[0], 0), M = dim(args.inputs[0], 1), K = dim(args.inputs[1], 1);
  const T* dy = args.inputs[0].as<T>();
  const T* x = args.inputs[1].as<T>();
  T* dw = args.outputs[0].as<T>();
  std::vector<double> sums(static_cast<size_t>(K));
  for (int64_t m = 0; m < M; ++m) {
    std::fill(sums.begin(), sums.end(), 0);
    for (int64_t n = 0; n < N; ++n)
      for (int64_t k = 0; k < K; ++k)
        sums[static_cast<size_t>(k)] += double(dy[n * M + m]) * x[n * K + k];
    for (int64_t k = 0; k < K; ++k) dw[m * K + k] = static_cast<T>(sums[static_cast<size_t>(k)]);
  }
}

constexpr KernelEntry kKernels[] = {
    {"linear", linear<float>, linear<double>},
    {"linear_backward_data", linear_backward_data<float>, linear_backward_data<double>},
    {"linear_backward_weights", linear_backward_weights<float>, linear_backward_weights<double>},
};

}  // namespace

std::span<const KernelEntry> matmul_kernels() { return kKernels; }

}  // namespace expgraph::reference
