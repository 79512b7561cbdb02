// elementwise: relu, add, scale, scale_by, constant: one output element from the same element of
// the inputs.
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

Types infer_relu_backward(const InferContext& context) {
  rules::require_float(context, 1);
  rules::require_type(context, 0, context.input(1), "the type of y");
  return {context.input(0)};
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

std::vector<ValueId> gradient_relu(const GradientContext& context) {
  return {context.add("relu_backward", {context.output_grads[0], context.out(0)})};
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
       .infer = infer_relu_backward,
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
