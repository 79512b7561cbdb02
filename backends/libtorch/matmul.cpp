// matmul: linear and its gradients as matrix products.
#include "backends/libtorch/kernels.h"

namespace expgraph::libtorch {

namespace {

/// y[N,M] = x[N,K] w[M,K]^T + b[M]
Kernel make_linear(const MakerContext& context) {
  return [bias = context.has(2)](std::span<const at::Tensor> in) -> Tensors {
    return {bias ? at::addmm(in[2], in[0], in[1].t()) : at::mm(in[0], in[1].t())};
  };
}

/// dx[N,K] = dy[N,M] w[M,K]
Kernel make_backward_data(const MakerContext&) {
  return [](std::span<const at::Tensor> in) -> Tensors { return {at::mm(in[0], in[1])}; };
}

/// dw[M,K] = dy[N,M]^T x[N,K]
Kernel make_backward_weights(const MakerContext&) {
  return [](std::span<const at::Tensor> in) -> Tensors { return {at::mm(in[0].t(), in[1])}; };
}

constexpr Maker kMakers[] = {
    {"linear", make_linear},
    {"linear_backward_data", make_backward_data},
    {"linear_backward_weights", make_backward_weights},
};

}  // namespace

std::span<const Maker> matmul_makers() { return kMakers; }

}  // namespace expgraph::libtorch
