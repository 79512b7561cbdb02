// matmul: linear and its gradients as oneDNN matrix products, where a transpose is a matter of
// strides; in bf16 as convolutions of maps of one pixel.
#include "backends/onednn/bf16.h"
#include "backends/onednn/bf16_conv.h"
#include "backends/onednn/dnnl.h"
#include "backends/onednn/kernels.h"

namespace expgraph::onednn {

namespace {

using dnnl::memory;
using Tag = memory::format_tag;

/// A matrix [rows, columns], or the transpose of a row-major [columns, rows].
memory::desc matrix(int64_t rows, int64_t columns, bool transposed = false) {
  return {{rows, columns}, memory::data_type::f32, transposed ? Tag::ba : Tag::ab};
}

struct Operands {
  memory::desc a, b, c;
  memory::desc bias = {};
  size_t a_input = 0, b_input = 1;  ///< of the node; a bias is input 2
};

Made product(const MakerContext& context, const Operands& operands) {
  const bool bias = !operands.bias.is_zero();
  const dnnl::matmul::primitive_desc description(cpu_engine(), operands.a, operands.b,
                                                 operands.bias, operands.c, primitive_options());
  const auto call = std::make_shared<Call>(dnnl::matmul(description));
  call->argument(DNNL_ARG_SRC, operands.a);
  call->argument(DNNL_ARG_WEIGHTS, operands.b);
  call->argument(DNNL_ARG_DST, operands.c);
  call->argument(DNNL_ARG_SCRATCHPAD, description.scratchpad_desc());
  if (bias) call->argument(DNNL_ARG_BIAS, operands.bias);
  return dense(context,
               {[call, bias, a = operands.a_input, b = operands.b_input](const KernelArgs& args) {
                  call->bind(DNNL_ARG_SRC, args.inputs[a].data);
                  call->bind(DNNL_ARG_WEIGHTS, args.inputs[b].data);
                  call->bind(DNNL_ARG_DST, args.outputs[0].data);
                  call->bind(DNNL_ARG_SCRATCHPAD, args.scratch);
                  if (bias) call->bind(DNNL_ARG_BIAS, args.inputs[2].data);
                  call->run();
                },
                static_cast<int64_t>(description.scratchpad_desc().get_size())});
}

bool by_blocks(const MakerContext& context) { return context.is_short(0) && multiplies_blocks(); }

/// The products of x [N, K], w [M, K] and y [N, M], which are of bf16.
Made short_product(const MakerContext& context, ConvDirection direction, const TensorType& x,
                   const TensorType& w, const TensorType& y) {
  const auto map = [](TensorType type) {
    type.shape.insert(type.shape.end(), {1, 1});
    return type;
  };
  const ConvShape shape{direction, map(x), map(w), map(y), {1, 1}, {0, 0}};
  const bool bias = direction == ConvDirection::forward && context.node.inputs.size() > 2 &&
                    context.node.inputs[2].valid();
  Made made = dense(context, bf16_conv_kernel(shape, bias, context.threads, nullptr));
  made.typed = true;
  return made;
}

/// y[N,M] = x[N,K] w[M,K]^T + b[M]
Made linear(const MakerContext& context) {
  if (by_blocks(context))
    return short_product(context, ConvDirection::forward, context.input(0), context.input(1),
                         context.output());
  const Shape &x = context.input(0).shape, &w = context.input(1).shape;
  Operands operands{matrix(x[0], x[1]), matrix(w[1], w[0], true), matrix(x[0], w[0])};
  if (context.node.inputs.size() > 2 && context.node.inputs[2].valid())
    operands.bias = matrix(1, w[0]);
  return product(context, operands);
}

/// dx[N,K] = dy[N,M] w[M,K]
Made linear_backward_data(const MakerContext& context) {
  if (by_blocks(context))
    return short_product(context, ConvDirection::backward_data, context.output(), context.input(1),
                         context.input(0));
  const Shape &dy = context.input(0).shape, &w = context.input(1).shape;
  return product(context, {matrix(dy[0], dy[1]), matrix(w[0], w[1]), matrix(dy[0], w[1])});
}

/// dw[M,K] = dy[N,M]^T x[N,K]
Made linear_backward_weights(const MakerContext& context) {
  if (by_blocks(context))
    return short_product(context, ConvDirection::backward_weights, context.input(1),
                         context.output(), context.input(0));
  const Shape &dy = context.input(0).shape, &x = context.input(1).shape;
  return product(context, {matrix(dy[1], dy[0], true), matrix(x[0], x[1]), matrix(dy[1], x[1])});
}

constexpr Maker kMakers[] = {
    {"linear", linear},
    {"linear_backward_data", linear_backward_data},
    {"linear_backward_weights", linear_backward_weights},
};

}  // namespace

std::span<const Maker> matmul_makers() { return kMakers; }

}  // namespace expgraph::onednn
