// pool: maximum and mean over windows, and their gradients.
#include <fmt/format.h>

#include "core/ops/families.h"
#include "core/ops/rules.h"

namespace expgraph {
namespace {

using Types = std::vector<TensorType>;

/// Checks size, stride and padding against a map and resolves them.
Window checked_window(const InferContext& context, int64_t height, int64_t width) {
  const Pair size = rules::require_pair(context, "size", 0);
  const Pair padding = rules::require_pair(context, "padding", 0);
  const bool has_stride = !context.attributes.integers("stride").empty();
  if (has_stride) rules::require_pair(context, "stride", 1);
  const std::string padding_text = to_text(context.attributes.integers("padding"));
  if ((size.height == 0) != (size.width == 0)) {
    context.fail_value("size",
                       fmt::format("size is {}, expected both numbers 0 (the whole map) or none",
                                   to_text(context.attributes.integers("size"))));
  }
  if (size.height == 0 && (has_stride || padding.height > 0 || padding.width > 0)) {
    context.fail("size 0 pools the whole map: stride and padding do not apply");
  }
  const Window window = pool_window(context.attributes, height, width);
  if (window.ph >= window.kh || window.pw >= window.kw) {
    context.fail_value("padding", fmt::format("padding {} is not smaller than the window {}x{}",
                                              padding_text, window.kh, window.kw));
  }
  if (window.kh > height + 2 * window.ph || window.kw > width + 2 * window.pw) {
    context.fail(fmt::format("{} window {}x{} is larger than the map {}x{} (padding {})",
                             context.op.name, window.kh, window.kw, height, width, padding_text));
  }
  return window;
}

TensorType pooled(const TensorType& x, const Window& window, DType dtype) {
  return {dtype,
          {x.shape[0], x.shape[1], window.out_height(x.shape[2]), window.out_width(x.shape[3])}};
}

Window check_forward(const InferContext& context) {
  rules::require_float(context, 0);
  rules::require_rank(context, 0, 4, "[N, C, H, W]");
  return checked_window(context, context.input(0).shape[2], context.input(0).shape[3]);
}

Types infer_max_pool(const InferContext& context) {
  const Window window = check_forward(context);
  const TensorType& x = context.input(0);
  return {pooled(x, window, x.dtype), pooled(x, window, index_dtype(window))};
}

Types infer_average_pool(const InferContext& context) {
  const Window window = check_forward(context);
  return {pooled(context.input(0), window, context.input(0).dtype)};
}

/// One operation for each place of each window.
Cost cost_forward(const InferContext& context, std::span<const TensorType> outputs) {
  const Shape& x = context.input(0).shape;
  const int64_t places = pool_window(context.attributes, x[2], x[3]).places();
  return rules::flop_cost(context, outputs, rules::product(outputs[0].elements(), places));
}

/// dx of a map of the attributes' height x width; checks dy against it.
TensorType check_backward(const InferContext& context, Window& window) {
  rules::require_float(context, 0);
  rules::require_rank(context, 0, 4, "[N, C, OH, OW]");
  rules::require_at_least(context, "height", 1);
  rules::require_at_least(context, "width", 1);
  const TensorType& dy = context.input(0);
  TensorType dx{dy.dtype,
                {dy.shape[0], dy.shape[1], context.attributes.integer("height"),
                 context.attributes.integer("width")}};
  window = checked_window(context, dx.shape[2], dx.shape[3]);
  rules::require_type(context, 0, pooled(dx, window, dy.dtype), "the type of y");
  return dx;
}

Types infer_max_pool_backward(const InferContext& context) {
  Window window;
  TensorType dx = check_backward(context, window);
  rules::require_type(context, 1, {index_dtype(window), context.input(0).shape},
                      "an index for each element of dy");
  return {std::move(dx)};
}

Types infer_average_pool_backward(const InferContext& context) {
  Window window;
  return {check_backward(context, window)};
}

Cost cost_max_pool_backward(const InferContext& context, std::span<const TensorType> outputs) {
  return rules::flop_cost(context, outputs, context.input(0).elements());
}

Cost cost_average_pool_backward(const InferContext& context, std::span<const TensorType> outputs) {
  const Shape& dx = outputs[0].shape;
  const int64_t places = pool_window(context.attributes, dx[2], dx[3]).places();
  return rules::flop_cost(context, outputs, rules::product(context.input(0).elements(), places));
}

/// Sizes resolved, so that the backward node says by itself what it undoes.
Attributes backward_attributes(const GradientContext& context) {
  const Shape& x = context.graph.type(context.in(0)).shape;
  const Window window = pool_window(context.node.attributes, x[2], x[3]);
  Attributes attributes;
  attributes.set("size", to_list({window.kh, window.kw}));
  attributes.set("stride", to_list({window.sh, window.sw}));
  attributes.set("padding", to_list({window.ph, window.pw}));
  attributes.set("height", x[2]);
  attributes.set("width", x[3]);
  return attributes;
}

std::vector<ValueId> gradient_max_pool(const GradientContext& context) {
  return {context.add("max_pool_backward", {context.output_grads[0], context.out(1)},
                      backward_attributes(context))};
}

std::vector<ValueId> gradient_average_pool(const GradientContext& context) {
  return {context.add("average_pool_backward", {context.output_grads[0]},
                      backward_attributes(context))};
}

std::vector<AttributeSchema> forward_attributes() {
  return {{"size", AttributeKind::integers, std::nullopt,
           "window: one number, or rows and columns; 0 = the whole map"},
          {"stride", AttributeKind::integers, std::vector<int64_t>{},
           "step of the window: one number, or rows and columns; empty = size"},
          {"padding", AttributeKind::integers, std::vector<int64_t>{0},
           "places added on each side: one number, or rows and columns"}};
}

std::vector<AttributeSchema> backward_schema() {
  return {{"size", AttributeKind::integers, std::nullopt, "window, resolved"},
          {"stride", AttributeKind::integers, std::nullopt, "step, resolved"},
          {"padding", AttributeKind::integers, std::nullopt, "places added on each side"},
          {"height", AttributeKind::integer, std::nullopt, "rows of x"},
          {"width", AttributeKind::integer, std::nullopt, "columns of x"}};
}

}  // namespace

std::vector<OpSchema> pool_ops() {
  return {
      {.name = "max_pool",
       .family = "pool",
       .doc =
           "Largest value of each window; padding is never chosen. The index is the place of the "
           "first largest value in its window: row * kw + column.",
       .inputs = {{.name = "x", .doc = "[N, C, H, W]"}},
       .outputs = {{.name = "y",
                    .doc = "[N, C, OH, OW], OH = floor((H + 2 padding - size) / "
                           "stride) + 1"},
                   {.name = "index", .doc = "as y; u8 for windows of up to 256 places, else i32"}},
       .attributes = forward_attributes(),
       .infer = infer_max_pool,
       .gradient = gradient_max_pool,
       .cost = cost_forward,
       .remade_by = "max_pool",
       .example = "pool: {op: max_pool, size: 2}"},
      {.name = "max_pool_backward",
       .family = "pool",
       .doc = "Gradient of max_pool: each dy is added where its window's largest value was.",
       .internal = true,
       .inputs = {{.name = "dy", .doc = "gradient of y [N, C, OH, OW]"},
                  {.name = "index", .doc = "from max_pool"}},
       .outputs = {{.name = "dx", .doc = "[N, C, height, width]"}},
       .attributes = backward_schema(),
       .infer = infer_max_pool_backward,
       .cost = cost_max_pool_backward},
      {.name = "average_pool",
       .family = "pool",
       .doc = "Mean of each window; padding counts as zeros, as in PyTorch's default.",
       .inputs = {{.name = "x", .doc = "[N, C, H, W]"}},
       .outputs = {{.name = "y",
                    .doc = "[N, C, OH, OW], OH = floor((H + 2 padding - size) / "
                           "stride) + 1"}},
       .attributes = forward_attributes(),
       .infer = infer_average_pool,
       .gradient = gradient_average_pool,
       .cost = cost_forward,
       .example = "pool: {op: average_pool, size: 0}"},
      {.name = "average_pool_backward",
       .family = "pool",
       .doc = "Gradient of average_pool: each dy is spread evenly over its window.",
       .internal = true,
       .inputs = {{.name = "dy", .doc = "gradient of y [N, C, OH, OW]"}},
       .outputs = {{.name = "dx", .doc = "[N, C, height, width]"}},
       .attributes = backward_schema(),
       .infer = infer_average_pool_backward,
       .cost = cost_average_pool_backward},
  };
}

}  // namespace expgraph
