// conv: two-dimensional convolution and its gradients.
#include <fmt/format.h>

#include <cmath>

#include "core/ops/families.h"
#include "core/ops/rules.h"

namespace expgraph {
namespace {

using Types = std::vector<TensorType>;

constexpr std::string_view kMap = "[N, C, H, W]";
constexpr std::string_view kWeights = "[M, C, kh, kw]";

AttributeSchema stride() {
  return {"stride", AttributeKind::integers, std::vector<int64_t>{1},
          "step of the window: one number, or rows and columns"};
}

AttributeSchema padding() {
  return {"padding", AttributeKind::integers, std::vector<int64_t>{0},
          "zeros on each side: one number, or rows and columns"};
}

void check_window(const InferContext& context, const Window& window, int64_t height,
                  int64_t width) {
  if (window.kh <= height + 2 * window.ph && window.kw <= width + 2 * window.pw) return;
  context.fail(fmt::format("{} kernel {}x{} is larger than the map {}x{} (padding {})",
                           context.op.name, window.kh, window.kw, height, width,
                           to_text(context.attributes.integers("padding"))));
}

void check_stride_padding(const InferContext& context) {
  rules::require_pair(context, "stride", 1);
  rules::require_pair(context, "padding", 0);
}

/// What must hold of x and the attributes before there is a weight.
void check_conv(const InferContext& context) {
  rules::require_float(context, 0);
  rules::require_rank(context, 0, 4, kMap);
  rules::require_at_least(context, "channels", 1);
  check_stride_padding(context);
  const Pair kernel = rules::require_pair(context, "kernel", 1);
  const Shape& x = context.input(0).shape;
  check_window(context, conv_window(context.attributes, {1, 1, kernel.height, kernel.width}), x[2],
               x[3]);
}

TensorType weights_type(const InferContext& context) {
  const Pair kernel = pair(context.attributes, "kernel");
  const TensorType& x = context.input(0);
  return {x.dtype,
          {context.attributes.integer("channels"), x.shape[1], kernel.height, kernel.width}};
}

Types infer_conv(const InferContext& context) {
  check_conv(context);
  const TensorType& x = context.input(0);
  const TensorType& w = context.input(1);
  rules::require_rank(context, 1, 4, kWeights);
  if (w.shape[1] != x.shape[1]) {
    context.fail(fmt::format("x has {} channels, w expects {}", x.shape[1], w.shape[1]));
  }
  rules::require_type(context, 1, weights_type(context), "channels, those of x, kernel");
  if (context.attributes.flag("bias") != context.has(2)) {
    context.fail(context.has(2) ? "b is given and bias is false" : "bias is true and b is absent");
  }
  if (context.has(2)) rules::require_type(context, 2, {x.dtype, {w.shape[0]}}, "one a channel");
  const Window window = conv_window(context.attributes, w.shape);
  return {{x.dtype,
           {x.shape[0], w.shape[0], window.out_height(x.shape[2]), window.out_width(x.shape[3])}}};
}

std::optional<StateRule> state_conv(const InferContext& context, size_t k) {
  check_conv(context);
  const TensorType w = weights_type(context);
  // In floating point: the product of untrusted sizes may overflow.
  const double fan_in = static_cast<double>(w.shape[1]) * static_cast<double>(w.shape[2]) *
                        static_cast<double>(w.shape[3]);
  const double bound = 1 / std::sqrt(fan_in);
  Initialiser initialiser{Initialiser::Kind::uniform, -bound, bound};
  if (k == 1) {
    if (context.attributes.text("init") == "dirac") initialiser.kind = Initialiser::Kind::dirac;
    return StateRule{w, initialiser};
  }
  if (!context.attributes.flag("bias")) return std::nullopt;
  return StateRule{{w.dtype, {w.shape[0]}}, initialiser};
}

/// Multiply-accumulates: every element of y (or dy) takes part with each weight of its filter.
int64_t macs(const TensorType& y, const Shape& w) {
  return rules::product(y.elements(), rules::product(w[1], w[2] * w[3]));
}

Cost cost_conv(const InferContext& context, std::span<const TensorType> outputs) {
  return rules::mac_cost(context, outputs, macs(outputs[0], context.input(1).shape));
}

/// dy must be what the convolution of an [N, C, height, width] map by w gives.
void check_gradient(const InferContext& context, const Window& window, const Shape& map,
                    int64_t filters) {
  check_window(context, window, map[2], map[3]);
  rules::require_type(context, 0,
                      {context.input(0).dtype,
                       {map[0], filters, window.out_height(map[2]), window.out_width(map[3])}},
                      "the type of y");
}

Types infer_backward_data(const InferContext& context) {
  rules::require_float(context, 0);
  rules::require_rank(context, 0, 4, "[N, M, OH, OW]");
  rules::require_rank(context, 1, 4, kWeights);
  rules::require_dtype(context, 1, context.input(0).dtype);
  check_stride_padding(context);
  rules::require_at_least(context, "height", 1);
  rules::require_at_least(context, "width", 1);
  const Shape& w = context.input(1).shape;
  TensorType dx{context.input(0).dtype,
                {context.input(0).shape[0], w[1], context.attributes.integer("height"),
                 context.attributes.integer("width")}};
  check_gradient(context, conv_window(context.attributes, w), dx.shape, w[0]);
  return {std::move(dx)};
}

Cost cost_backward_data(const InferContext& context, std::span<const TensorType> outputs) {
  return rules::mac_cost(context, outputs, macs(context.input(0), context.input(1).shape));
}

Types infer_backward_weights(const InferContext& context) {
  rules::require_float(context, 0);
  rules::require_rank(context, 0, 4, "[N, M, OH, OW]");
  rules::require_rank(context, 1, 4, kMap);
  rules::require_dtype(context, 1, context.input(0).dtype);
  check_stride_padding(context);
  const Pair kernel = rules::require_pair(context, "kernel", 1);
  const Shape& x = context.input(1).shape;
  const int64_t filters = context.input(0).shape[1];
  TensorType dw{context.input(0).dtype, {filters, x[1], kernel.height, kernel.width}};
  check_gradient(context, conv_window(context.attributes, dw.shape), x, filters);
  return {std::move(dw)};
}

Cost cost_backward_weights(const InferContext& context, std::span<const TensorType> outputs) {
  return rules::mac_cost(context, outputs, macs(context.input(0), outputs[0].shape));
}

std::vector<ValueId> gradient_conv(const GradientContext& context) {
  const ValueId dy = context.output_grads[0];
  const Attributes& forward = context.node.attributes;
  Attributes window;
  window.set("stride", forward.integers("stride"));
  window.set("padding", forward.integers("padding"));
  std::vector<ValueId> gradients(3);
  if (context.wanted[1]) {  // first, so that x may be gone before its gradient is made
    Attributes attributes = window;
    attributes.set("kernel", forward.integers("kernel"));
    gradients[1] =
        context.add("conv2d_backward_weights", {dy, context.in(0)}, std::move(attributes));
  }
  if (context.wanted[0]) {
    const Shape& x = context.graph.type(context.in(0)).shape;
    Attributes attributes = window;
    attributes.set("height", x[2]);
    attributes.set("width", x[3]);
    gradients[0] = context.add("conv2d_backward_data", {dy, context.in(1)}, std::move(attributes));
  }
  if (context.wanted[2]) gradients[2] = context.add("channel_sum", {dy});
  return gradients;
}

}  // namespace

std::vector<OpSchema> conv_ops() {
  const AttributeSchema kernel = {"kernel", AttributeKind::integers, std::nullopt,
                                  "window of a filter: one number, or rows and columns"};
  return {
      {.name = "conv2d",
       .family = "conv",
       .doc = "Two-dimensional convolution (cross-correlation, LeCun et al., 1989): "
              "y[n,m,i,j] = b[m] + sum over c,u,v of w[m,c,u,v] * x[n, c, i * stride + u - "
              "padding, j * stride + v - padding]. Weights and bias start uniform in +-1 / sqrt(C "
              "* kh * kw), as PyTorch's.",
       .inputs = {{.name = "x", .doc = "[N, C, H, W]"},
                  {.name = "w",
                   .doc = "filters [channels, C, kh, kw]",
                   .role = InputRole::parameter},
                  {.name = "b",
                   .doc = "bias [channels]",
                   .role = InputRole::parameter,
                   .optional = true}},
       .outputs = {{.name = "y",
                    .doc = "[N, channels, OH, OW], OH = floor((H + 2 padding - kh) / stride) + 1"}},
       .attributes = {{"channels", AttributeKind::integer, std::nullopt, "filters, channels of y"},
                      kernel,
                      stride(),
                      padding(),
                      {"bias", AttributeKind::boolean, false, "adds b"},
                      {"init",
                       AttributeKind::text,
                       std::string("uniform"),
                       "how w starts: uniform, or dirac: so too, but the first C filters each hand "
                       "one channel of x on",
                       {"uniform", "dirac"}}},
       .infer = infer_conv,
       .state = state_conv,
       .gradient = gradient_conv,
       .cost = cost_conv,
       .remade_by = "conv2d",
       .example = "conv: {op: conv2d, channels: 64, kernel: 3, padding: 1}"},
      {.name = "conv2d_backward_data",
       .family = "conv",
       .doc = "Gradient of conv2d in its input (transposed convolution).",
       .internal = true,
       .inputs = {{.name = "dy", .doc = "gradient of y [N, M, OH, OW]"},
                  {.name = "w", .doc = "filters [M, C, kh, kw]"}},
       .outputs = {{.name = "dx", .doc = "[N, C, height, width]"}},
       .attributes = {{"height", AttributeKind::integer, std::nullopt, "rows of x"},
                      {"width", AttributeKind::integer, std::nullopt, "columns of x"},
                      stride(),
                      padding()},
       .infer = infer_backward_data,
       .cost = cost_backward_data},
      {.name = "conv2d_backward_weights",
       .family = "conv",
       .doc = "Gradient of conv2d in its filters: dw[m,c,u,v] = sum over n,i,j of dy[n,m,i,j] * "
              "x[n, c, i * stride + u - padding, j * stride + v - padding].",
       .internal = true,
       .inputs = {{.name = "dy", .doc = "gradient of y [N, M, OH, OW]"},
                  {.name = "x", .doc = "[N, C, H, W]"}},
       .outputs = {{.name = "dw", .doc = "[M, C, kh, kw]"}},
       .attributes = {kernel, stride(), padding()},
       .infer = infer_backward_weights,
       .cost = cost_backward_weights},
  };
}

}  // namespace expgraph
