// matmul: linear and its gradients.
#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "core/ops/families.h"
#include "core/ops/rules.h"

namespace expgraph {
namespace {

using Types = std::vector<TensorType>;

/// What must hold of x and the attributes before there is a weight.
void check_linear(const InferContext& context) {
  const double deviation = context.attributes.real("init_std");
  if (deviation < 0) context.fail(fmt::format("init_std is {}, expected at least 0", deviation));
  rules::require_float(context, 0);
  if (context.input(0).rank() != 2) {
    context.fail(fmt::format("{}, linear expects [N, K]; flatten comes first",
                             rules::described(context, 0)));
  }
  rules::require_at_least(context, "features", 1);
}

Types infer_linear(const InferContext& context) {
  check_linear(context);
  const TensorType& x = context.input(0);
  const TensorType& w = context.input(1);
  const int64_t features = context.attributes.integer("features");
  rules::require_rank(context, 1, 2, "[M, K]");
  if (w.shape[1] != x.shape[1]) {
    context.fail(fmt::format("x has {} features, w expects {}", x.shape[1], w.shape[1]));
  }
  rules::require_type(context, 1, {x.dtype, {features, x.shape[1]}}, "features and those of x");
  if (context.attributes.flag("bias") != context.has(2)) {
    context.fail(context.has(2) ? "b is given and bias is false" : "bias is true and b is absent");
  }
  if (context.has(2)) rules::require_type(context, 2, {x.dtype, {features}}, "one a feature");
  return {{x.dtype, {x.shape[0], features}}};
}

std::optional<StateRule> state_linear(const InferContext& context, size_t k) {
  check_linear(context);
  const TensorType& x = context.input(0);
  const int64_t features = context.attributes.integer("features");
  const double bound = 1 / std::sqrt(static_cast<double>(x.shape[1]));
  const Initialiser initialiser{Initialiser::Kind::uniform, -bound, bound};
  if (k == 1) {
    const double deviation = context.attributes.real("init_std");
    const double wide = deviation > 0 ? deviation * std::numbers::sqrt3 : bound;
    return StateRule{{x.dtype, {features, x.shape[1]}}, {initialiser.kind, -wide, wide}};
  }
  if (!context.attributes.flag("bias")) return std::nullopt;
  return StateRule{{x.dtype, {features}}, initialiser};
}

Cost cost_linear(const InferContext& context, std::span<const TensorType> outputs) {
  return rules::mac_cost(context, outputs,
                         rules::product(outputs[0].elements(), context.input(0).shape[1]));
}

/// dy [N, M] in both.
Types infer_backward_data(const InferContext& context) {
  rules::require_float(context, 0);
  rules::require_rank(context, 0, 2, "[N, M]");
  rules::require_rank(context, 1, 2, "[M, K]");
  const Shape& dy = context.input(0).shape;
  const Shape& w = context.input(1).shape;
  rules::require_type(context, 1, {context.input(0).dtype, {dy[1], w[1]}}, "a row a column of dy");
  return {{context.input(0).dtype, {dy[0], w[1]}}};
}

Cost cost_backward_data(const InferContext& context, std::span<const TensorType> outputs) {
  return rules::mac_cost(context, outputs,
                         rules::product(outputs[0].elements(), context.input(0).shape[1]));
}

Types infer_backward_weights(const InferContext& context) {
  rules::require_float(context, 0);
  rules::require_rank(context, 0, 2, "[N, M]");
  rules::require_rank(context, 1, 2, "[N, K]");
  const Shape& dy = context.input(0).shape;
  const Shape& x = context.input(1).shape;
  rules::require_type(context, 1, {context.input(0).dtype, {dy[0], x[1]}}, "a row a row of dy");
  return {{context.input(0).dtype, {dy[1], x[1]}}};
}

Cost cost_backward_weights(const InferContext& context, std::span<const TensorType> outputs) {
  return rules::mac_cost(context, outputs,
                         rules::product(outputs[0].elements(), context.input(0).shape[0]));
}

std::vector<ValueId> gradient_linear(const GradientContext& context) {
  const ValueId dy = context.output_grads[0];
  std::vector<ValueId> gradients(3);
  if (context.wanted[0]) gradients[0] = context.add("linear_backward_data", {dy, context.in(1)});
  if (context.wanted[1]) gradients[1] = context.add("linear_backward_weights", {dy, context.in(0)});
  if (context.wanted[2]) gradients[2] = context.add("channel_sum", {dy});
  return gradients;
}

}  // namespace

std::vector<OpSchema> matmul_ops() {
  return {
      {.name = "linear",
       .family = "matmul",
       .doc = "Fully connected layer: y = x w^T + b. Weights and bias start uniform in "
              "+-1 / sqrt(K), as PyTorch's.",
       .inputs = {{.name = "x", .doc = "[N, K]"},
                  {.name = "w", .doc = "weights [features, K]", .role = InputRole::parameter},
                  {.name = "b",
                   .doc = "bias [features]",
                   .role = InputRole::parameter,
                   .optional = true}},
       .outputs = {{.name = "y", .doc = "[N, features]"}},
       .attributes = {{"features", AttributeKind::integer, std::nullopt, "outputs a sample"},
                      {"bias", AttributeKind::boolean, true, "adds b"},
                      {"init_std", AttributeKind::real, 0.0,
                       "standard deviation of w at the start; 0: PyTorch's default"}},
       .infer = infer_linear,
       .state = state_linear,
       .gradient = gradient_linear,
       .cost = cost_linear,
       .example = "classifier: {op: linear, features: 10}"},
      {.name = "linear_backward_data",
       .family = "matmul",
       .doc = "Gradient of linear in its input: dx = dy w.",
       .internal = true,
       .inputs = {{.name = "dy", .doc = "gradient of y [N, M]"},
                  {.name = "w", .doc = "weights [M, K]"}},
       .outputs = {{.name = "dx", .doc = "[N, K]"}},
       .infer = infer_backward_data,
       .cost = cost_backward_data},
      {.name = "linear_backward_weights",
       .family = "matmul",
       .doc = "Gradient of linear in its weights: dw = dy^T x.",
       .internal = true,
       .inputs = {{.name = "dy", .doc = "gradient of y [N, M]"}, {.name = "x", .doc = "[N, K]"}},
       .outputs = {{.name = "dw", .doc = "[M, K]"}},
       .infer = infer_backward_weights,
       .cost = cost_backward_weights},
  };
}

}  // namespace expgraph
