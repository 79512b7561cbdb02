// shape: flatten, reshape, concat, slice: the same elements, arranged otherwise.
#include <fmt/format.h>

#include "core/ops/families.h"
#include "core/ops/rules.h"

namespace expgraph {
namespace {

using Types = std::vector<TensorType>;

Types infer_flatten(const InferContext& context) {
  const TensorType& x = context.input(0);
  if (x.rank() < 1) {
    context.fail(fmt::format("{}, flatten expects [N, ...]", rules::described(context, 0)));
  }
  return {{x.dtype, {x.shape[0], x.elements() / x.shape[0]}}};
}

Types infer_reshape(const InferContext& context) {
  const TensorType& x = context.input(0);
  TensorType y{x.dtype, context.attributes.integers("shape")};
  if (y.elements() != x.elements()) {
    context.fail(fmt::format("{} with {} elements, shape {} has {}", rules::described(context, 0),
                             x.elements(), to_text(context.attributes.integers("shape")),
                             y.elements()));
  }
  return {std::move(y)};
}

/// The axis attribute, checked against the rank of the first input.
size_t checked_axis(const InferContext& context) {
  const int64_t axis = context.attributes.integer("axis");
  const int64_t rank = context.input(0).rank();
  if (axis < 0 || axis >= rank) {
    context.fail_value("axis", fmt::format("axis is {}, expected 0 to {} ({})", axis, rank - 1,
                                           rules::described(context, 0)));
  }
  return static_cast<size_t>(axis);
}

Types infer_concat(const InferContext& context) {
  const size_t axis = checked_axis(context);
  TensorType y = context.input(0);
  for (size_t k = 1; k < context.inputs.size(); ++k) {
    TensorType expected = context.input(k);
    if (expected.rank() == y.rank()) expected.shape[axis] = context.input(0).shape[axis];
    if (expected != context.input(0)) {
      context.fail(fmt::format(
          "concat needs inputs that differ along axis {} alone, input 1 is {} and input {} is {}",
          axis, context.input(0).str(), k + 1, context.input(k).str()));
    }
    y.shape[axis] += context.input(k).shape[axis];
  }
  return {std::move(y)};
}

Types infer_slice(const InferContext& context) {
  const size_t axis = checked_axis(context);
  rules::require_at_least(context, "start", 0);
  rules::require_at_least(context, "length", 1);
  const int64_t start = context.attributes.integer("start");
  const int64_t length = context.attributes.integer("length");
  TensorType y = context.input(0);
  if (start > y.shape[axis] || length > y.shape[axis] - start) {
    context.fail(
        fmt::format("slice of {} from {} goes beyond axis {} of {}", length, start, axis, y.str()));
  }
  y.shape[axis] = length;
  return {std::move(y)};
}

std::vector<ValueId> gradient_reshape(const GradientContext& context) {
  Attributes attributes;
  attributes.set("shape", context.graph.type(context.in(0)).shape);
  return {context.add("reshape", {context.output_grads[0]}, std::move(attributes))};
}

std::vector<ValueId> gradient_concat(const GradientContext& context) {
  const int64_t axis = context.node.attributes.integer("axis");
  std::vector<ValueId> gradients(context.node.inputs.size());
  int64_t start = 0;
  for (size_t k = 0; k < gradients.size(); ++k) {
    const int64_t length = context.graph.type(context.in(k)).shape[static_cast<size_t>(axis)];
    if (context.wanted[k]) {
      Attributes attributes;
      attributes.set("axis", axis);
      attributes.set("start", start);
      attributes.set("length", length);
      gradients[k] = context.add("slice", {context.output_grads[0]}, std::move(attributes));
    }
    start += length;
  }
  return gradients;
}

}  // namespace

std::vector<OpSchema> shape_ops() {
  return {
      {.name = "flatten",
       .family = "shape",
       .doc = "All dimensions after the first as one: [N, ...] -> [N, rest].",
       .inputs = {{.name = "x", .doc = "[N, ...]"}},
       .outputs = {{.name = "y", .doc = "[N, rest], the same bytes"}},
       .infer = infer_flatten,
       .gradient = gradient_reshape,
       .cost = rules::copy_cost,
       .in_place = {{0, 0}},
       .example = "flatten: flatten"},
      {.name = "reshape",
       .family = "shape",
       .doc = "The same elements in row-major order under another shape.",
       .internal = true,
       .inputs = {{.name = "x", .doc = "any shape"}},
       .outputs = {{.name = "y", .doc = "of the given shape, the same bytes"}},
       .attributes = {{"shape", AttributeKind::integers, std::nullopt,
                       "dimensions with as many elements as x"}},
       .infer = infer_reshape,
       .gradient = gradient_reshape,
       .cost = rules::copy_cost,
       .in_place = {{0, 0}}},
      {.name = "concat",
       .family = "shape",
       .doc = "Inputs one after another along an axis.",
       .inputs = {{.name = "x",
                   .doc = "equal in type but for the size along `axis`",
                   .variadic = true}},
       .outputs = {{.name = "y", .doc = "sizes along `axis` add up"}},
       .attributes = {{"axis", AttributeKind::integer, int64_t{1}, "counted from 0; 1 = channels"}},
       .infer = infer_concat,
       .gradient = gradient_concat,
       .cost = rules::copy_cost,
       .example = "join: {op: concat, inputs: [pool1, pool2]}"},
      {.name = "slice",
       .family = "shape",
       .doc = "`length` entries from `start` along an axis: the gradient of concat.",
       .internal = true,
       .inputs = {{.name = "x", .doc = "any shape"}},
       .outputs = {{.name = "y", .doc = "as x, `length` along `axis`"}},
       .attributes = {{"axis", AttributeKind::integer, std::nullopt, "counted from 0"},
                      {"start", AttributeKind::integer, std::nullopt, "first entry"},
                      {"length", AttributeKind::integer, std::nullopt, "number of entries"}},
       .infer = infer_slice,
       .cost = rules::copy_cost},
  };
}

}  // namespace expgraph
