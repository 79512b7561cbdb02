// elementwise: relu, celu, gelu, add, scale, scale_by, constant: one output element from the same
// element of the inputs.
#include <fmt/format.h>

#include "core/ops/families.h"
#include "core/ops/rules.h"

namespace expgraph {
namespace {

using Types = std::vector<TensorType>;

Types infer_float(const InferContext& context) {
  rules::require_float(context, 0);
  return {context.input(0)};
}

/// Gradient of y, and y or x.
Types infer_activation_backward(const InferContext& context) {
  rules::require_float(context, 1);
  rules::require_type(context, 0, context.input(1), "the type of y");
  return {context.input(0)};
}

void check_alpha(const InferContext& context) {
  const double alpha = context.attributes.real("alpha");
  if (alpha <= 0) context.fail(fmt::format("alpha is {}, expected more than 0", alpha));
}

Types infer_celu(const InferContext& context) {
  check_alpha(context);
  return infer_float(context);
}

Types infer_celu_backward(const InferContext& context) {
  check_alpha(context);
  return infer_activation_backward(context);
}

/// Per element: an exponential and its use; gelu: a polynomial of degree 5 besides.
Cost cost_celu(const InferContext& context, std::span<const TensorType> outputs) {
  return rules::flop_cost(context, outputs, rules::product(4, outputs[0].elements()));
}

Cost cost_gelu(const InferContext& context, std::span<const TensorType> outputs) {
  return rules::flop_cost(context, outputs, rules::product(16, outputs[0].elements()));
}

Types infer_add(const InferContext& context) {
  if (context.inputs.size() < 2) {
    context.fail(fmt::format("add takes two or more inputs, got {}", context.inputs.size()));
  }
  rules::require_float(context, 0);
  for (size_t k = 1; k < context.inputs.size(); ++k) {
    if (context.input(k) == context.input(0)) continue;
    context.fail(fmt::format("add needs inputs of one type, input 1 is {} and input {} is {}",
                             context.input(0).str(), k + 1, context.input(k).str()));
  }
  return {context.input(0)};
}

Cost cost_add(const InferContext& context, std::span<const TensorType> outputs) {
  const auto terms = static_cast<int64_t>(context.inputs.size()) - 1;
  return rules::flop_cost(context, outputs, rules::product(terms, outputs[0].elements()));
}

Types infer_scale_by(const InferContext& context) {
  rules::require_float(context, 0);
  const TensorType scalar{accumulation_dtype(context.input(0).dtype), {}};
  rules::require_type(context, 1, scalar, "a scalar");
  return {context.input(0)};
}

Types infer_constant(const InferContext& context) {
  const DType dtype = *parse_dtype(context.attributes.text("dtype"));
  return {{dtype, context.attributes.integers("shape")}};
}

Types infer_cast(const InferContext& context) {
  rules::require_float(context, 0);
  return {{*parse_dtype(context.attributes.text("dtype")), context.input(0).shape}};
}

std::vector<ValueId> gradient_cast(const GradientContext& context) {
  Attributes attributes;
  const DType dtype = context.graph.type(context.in(0)).dtype;
  attributes.set("dtype", std::string(to_string(dtype)));
  return {context.add("cast", {context.output_grads[0]}, std::move(attributes))};
}

std::vector<ValueId> gradient_relu(const GradientContext& context) {
  return {context.add("relu_backward", {context.output_grads[0], context.out(0)})};
}

std::vector<ValueId> gradient_celu(const GradientContext& context) {
  return {context.add("celu_backward", {context.output_grads[0], context.out(0)},
                      context.node.attributes)};
}

std::vector<ValueId> gradient_gelu(const GradientContext& context) {
  return {context.add("gelu_backward", {context.output_grads[0], context.in(0)})};
}

std::vector<ValueId> gradient_add(const GradientContext& context) {
  return std::vector<ValueId>(context.node.inputs.size(), context.output_grads[0]);
}

std::vector<ValueId> gradient_scale(const GradientContext& context) {
  Attributes attributes;
  attributes.set("factor", context.node.attributes.real("factor"));
  return {context.add("scale", {context.output_grads[0]}, std::move(attributes))};
}

}  // namespace

std::vector<OpSchema> elementwise_ops() {
  const AttributeSchema alpha = {"alpha", AttributeKind::real, 1.0,
                                 "what y tends to far below 0, with its sign changed"};
  return {
      {.name = "relu",
       .family = "elementwise",
       .doc = "Rectified linear unit: y = max(x, 0) (Nair and Hinton, 2010).",
       .inputs = {{.name = "x", .doc = "any shape"}},
       .outputs = {{.name = "y", .doc = "as x"}},
       .infer = infer_float,
       .gradient = gradient_relu,
       .in_place = {{0, 0}},
       .remade_by = "relu",
       .example = "relu: relu"},
      {.name = "relu_backward",
       .family = "elementwise",
       .doc = "Gradient of relu: dx = dy where y > 0, else 0.",
       .internal = true,
       .inputs = {{.name = "dy", .doc = "gradient of y"}, {.name = "y", .doc = "output of relu"}},
       .outputs = {{.name = "dx", .doc = "as dy"}},
       .infer = infer_activation_backward,
       .in_place = {{0, 0}}},
      {.name = "celu",
       .family = "elementwise",
       .doc = "Continuously differentiable exponential linear unit (Barron, 2017): y = x where x > "
              "0, else alpha * (exp(x / alpha) - 1).",
       .inputs = {{.name = "x", .doc = "any shape"}},
       .outputs = {{.name = "y", .doc = "as x"}},
       .attributes = {alpha},
       .infer = infer_celu,
       .gradient = gradient_celu,
       .cost = cost_celu,
       .in_place = {{0, 0}},
       .remade_by = "celu",
       .example = "celu: {op: celu, alpha: 0.3}"},
      {.name = "celu_backward",
       .family = "elementwise",
       .doc = "Gradient of celu: dx = dy where y > 0, else dy * (y / alpha + 1).",
       .internal = true,
       .inputs = {{.name = "dy", .doc = "gradient of y"}, {.name = "y", .doc = "output of celu"}},
       .outputs = {{.name = "dx", .doc = "as dy"}},
       .attributes = {alpha},
       .infer = infer_celu_backward,
       .cost = cost_celu,
       .in_place = {{0, 0}}},
      {.name = "gelu",
       .family = "elementwise",
       .doc =
           "Gaussian error linear unit (Hendrycks and Gimpel, 2016), the exact one: y = x * P(x), "
           "P(x) = (1 + erf(x / sqrt(2))) / 2.",
       .inputs = {{.name = "x", .doc = "any shape"}},
       .outputs = {{.name = "y", .doc = "as x"}},
       .infer = infer_float,
       .gradient = gradient_gelu,
       .cost = cost_gelu,
       .in_place = {{0, 0}},
       .remade_by = "gelu",
       .example = "gelu: gelu"},
      {.name = "gelu_backward",
       .family = "elementwise",
       .doc = "Gradient of gelu: dx = dy * (P(x) + x * exp(-x^2 / 2) / sqrt(2 pi)).",
       .internal = true,
       .inputs = {{.name = "dy", .doc = "gradient of y"}, {.name = "x", .doc = "input of gelu"}},
       .outputs = {{.name = "dx", .doc = "as dy"}},
       .infer = infer_activation_backward,
       .cost = cost_gelu,
       .in_place = {{0, 0}}},
      {.name = "add",
       .family = "elementwise",
       .doc = "Sum of two or more tensors of one type: y = x1 + x2 + ...",
       .inputs = {{.name = "x", .doc = "at least two, of one type", .variadic = true}},
       .outputs = {{.name = "y", .doc = "as each x"}},
       .infer = infer_add,
       .gradient = gradient_add,
       .cost = cost_add,
       .in_place = {{0, 0}},
       .remade_by = "add",
       .example = "sum: {op: add, inputs: [conv1, conv2]}"},
      {.name = "scale",
       .family = "elementwise",
       .doc = "Product with a constant: y = factor * x.",
       .inputs = {{.name = "x", .doc = "any shape"}},
       .outputs = {{.name = "y", .doc = "as x"}},
       .attributes = {{"factor", AttributeKind::real, std::nullopt, "what x is multiplied by"}},
       .infer = infer_float,
       .gradient = gradient_scale,
       .in_place = {{0, 0}},
       .remade_by = "scale",
       .example = "logits: {op: scale, factor: 0.125}"},
      {.name = "scale_by",
       .family = "elementwise",
       .doc = "Product with a scalar that is known when it runs: y = factor * x.",
       .internal = true,
       .inputs = {{.name = "x", .doc = "any shape"}, {.name = "factor", .doc = "scalar"}},
       .outputs = {{.name = "y", .doc = "as x"}},
       .infer = infer_scale_by,
       .in_place = {{0, 0}}},
      {.name = "cast",
       .family = "elementwise",
       .doc = "x in another element type, rounded to the nearest number of it, of two to the even "
              "one. Made where a step computes in another precision than its states are kept in.",
       .internal = true,
       .inputs = {{.name = "x", .doc = "any shape"}},
       .outputs = {{.name = "y", .doc = "as x but for the type"}},
       .attributes = {{"dtype",
                       AttributeKind::text,
                       std::nullopt,
                       "element type of y",
                       {"f32", "f64", "bf16", "f16"}}},
       .infer = infer_cast,
       .gradient = gradient_cast,
       .cost = rules::copy_cost},
      {.name = "constant",
       .family = "elementwise",
       .doc = "A tensor with one value everywhere.",
       .internal = true,
       .outputs = {{.name = "y", .doc = "of the given shape"}},
       .attributes = {{"value", AttributeKind::real, std::nullopt, "the value"},
                      {"shape", AttributeKind::integers, std::vector<int64_t>{},
                       "dimensions; empty for a scalar"},
                      {"dtype",
                       AttributeKind::text,
                       std::string("f32"),
                       "element type",
                       {"f32", "f64", "bf16", "f16"}}},
       .infer = infer_constant,
       .cost = rules::copy_cost},
  };
}

}  // namespace expgraph
