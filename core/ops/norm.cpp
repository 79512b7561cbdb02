// norm: batch normalisation in training and evaluation, and its gradient.
#include <fmt/format.h>

#include "core/ops/families.h"
#include "core/ops/rules.h"

namespace expgraph {
namespace {

using Types = std::vector<TensorType>;

constexpr std::string_view kOneAChannel = "one a channel of x";

/// Type of scale, bias and statistics for an x [N, C] or [N, C, H, W].
TensorType channel_type(const TensorType& x) { return {accumulation_dtype(x.dtype), {x.shape[1]}}; }

/// Inputs `first` and after are of the channels of x.
void require_channel_inputs(const InferContext& context, const TensorType& x, size_t first) {
  for (size_t k = first; k < context.inputs.size(); ++k) {
    if (context.input(k).rank() == 1 && context.input(k).shape[0] != x.shape[1]) {
      context.fail(fmt::format("x has {} channels, {} expects {}", x.shape[1],
                               context.op.inputs[k].name, context.input(k).shape[0]));
    }
    rules::require_type(context, k, channel_type(x), kOneAChannel);
  }
}

void check_epsilon(const InferContext& context) {
  const double epsilon = context.attributes.real("epsilon");
  if (epsilon > 0) return;
  context.fail_value("epsilon", fmt::format("epsilon is {}, expected more than 0", epsilon));
}

void check_batch_norm(const InferContext& context) {
  rules::require_channels(context, 0);
  check_epsilon(context);
  rules::require_range(context, "momentum", 0, 1, true);
}

Types infer_batch_norm(const InferContext& context) {
  check_batch_norm(context);
  const TensorType& x = context.input(0);
  if (x.elements() == x.shape[1]) {
    context.fail(fmt::format("{}, batch_norm needs more than one value a channel",
                             rules::described(context, 0)));
  }
  require_channel_inputs(context, x, 1);
  const TensorType channels = channel_type(x);
  return {x, channels, channels, channels, channels};
}

std::optional<StateRule> state_batch_norm(const InferContext& context, size_t k) {
  check_batch_norm(context);
  const std::string_view name = context.op.inputs[k].name;
  Initialiser initialiser;
  if (name == "scale" && context.attributes.text("scale_init") == "uniform") {
    initialiser = {Initialiser::Kind::uniform, 0, 1};
  } else if (name == "scale" || name == "running_var") {
    initialiser.a = 1;
  }
  return StateRule{channel_type(context.input(0)), initialiser};
}

Types infer_inference(const InferContext& context) {
  rules::require_channels(context, 0);
  check_epsilon(context);
  require_channel_inputs(context, context.input(0), 1);
  return {context.input(0)};
}

Types infer_apply(const InferContext& context) {
  rules::require_channels(context, 0);
  require_channel_inputs(context, context.input(0), 1);
  return {context.input(0)};
}

Types infer_backward(const InferContext& context) {
  rules::require_channels(context, 1);
  const TensorType& x = context.input(1);
  rules::require_type(context, 0, x, "the type of y");
  require_channel_inputs(context, x, 2);
  return {x, channel_type(x), channel_type(x)};
}

/// Per element: two sums, subtract, multiply, scale and shift, with the squares.
Cost cost_batch_norm(const InferContext& context, std::span<const TensorType> outputs) {
  return rules::flop_cost(context, outputs, rules::product(7, outputs[0].elements()));
}

/// Per element: one multiply and one add, the channel's factors being folded.
Cost cost_apply(const InferContext& context, std::span<const TensorType> outputs) {
  return rules::flop_cost(context, outputs, rules::product(2, outputs[0].elements()));
}

/// Per element: two sums (4) and the three terms of dx (5).
Cost cost_backward(const InferContext& context, std::span<const TensorType> outputs) {
  return rules::flop_cost(context, outputs, rules::product(9, outputs[0].elements()));
}

std::vector<ValueId> gradient_batch_norm(const GradientContext& context) {
  // The loss may read the batch's statistics too; that gradient must not be lost silently.
  for (size_t k = 1; k < context.output_grads.size(); ++k) {
    if (!context.output_grads[k].valid()) continue;
    throw Error(
        fmt::format("batch_norm has a gradient through its output 'y' alone, the loss reads "
                    "its output '{}'",
                    context.node.op->outputs[k].name),
        context.node.where);
  }
  const NodeId id = context.add_node(
      "batch_norm_backward",
      {context.output_grads[0], context.in(0), context.in(1), context.out(1), context.out(2)});
  const std::vector<ValueId>& outputs = context.graph.node(id).outputs;
  return {outputs[0], outputs[1], outputs[2], ValueId{}, ValueId{}};
}

constexpr InputSchema kX = {.name = "x", .doc = "[N, C, H, W] or [N, C]"};
constexpr InputSchema kScale = {.name = "scale", .doc = "[C]"};
constexpr InputSchema kMean = {.name = "mean", .doc = "[C], from batch_norm"};
constexpr InputSchema kInverseStd = {.name = "inverse_std", .doc = "[C], from batch_norm"};

OpSchema batch_norm() {
  return {.name = "batch_norm",
          .family = "norm",
          .doc =
              "Batch normalisation (Ioffe and Szegedy, 2015): y = scale * (x - mean) / "
              "sqrt(var + epsilon) + bias, over all but the channels of the batch, var biased. "
              "Running statistics move by `momentum` towards the batch's (var unbiased), as "
              "PyTorch's; evaluation uses them.",
          .inputs = {kX,
                     {.name = "scale", .doc = "gamma [C]", .role = InputRole::parameter},
                     {.name = "bias", .doc = "beta [C], starts 0", .role = InputRole::parameter},
                     {.name = "running_mean", .doc = "[C], starts 0", .role = InputRole::statistic},
                     {.name = "running_var", .doc = "[C], starts 1", .role = InputRole::statistic}},
          .outputs = {{.name = "y", .doc = "as x"},
                      {.name = "mean", .doc = "[C], of this batch"},
                      {.name = "inverse_std", .doc = "[C], 1 / sqrt(var + epsilon) of this batch"},
                      {.name = "new_running_mean", .doc = "[C]", .updates = "running_mean"},
                      {.name = "new_running_var", .doc = "[C]", .updates = "running_var"}},
          .attributes = {{"epsilon", AttributeKind::real, 1e-5, "added to the variance"},
                         {"momentum", AttributeKind::real, 0.1,
                          "weight of this batch in the running statistics, 0 to 1"},
                         {"scale_init",
                          AttributeKind::text,
                          std::string("one"),
                          "how scale starts: 1, or uniform in [0, 1)",
                          {"one", "uniform"}}},
          .infer = infer_batch_norm,
          .state = state_batch_norm,
          .gradient = gradient_batch_norm,
          .cost = cost_batch_norm,
          .remade_by = "batch_norm_apply",
          .evaluation_op = "batch_norm_inference",
          .example = "norm: {op: batch_norm, scale_init: uniform}"};
}

}  // namespace

std::vector<OpSchema> norm_ops() {
  return {
      batch_norm(),
      {.name = "batch_norm_inference",
       .family = "norm",
       .doc = "Batch normalisation by running statistics: y = scale * (x - running_mean) / "
              "sqrt(running_var + epsilon) + bias.",
       .internal = true,
       .inputs = {kX,
                  kScale,
                  {.name = "bias", .doc = "[C]"},
                  {.name = "running_mean", .doc = "[C]"},
                  {.name = "running_var", .doc = "[C]"}},
       .outputs = {{.name = "y", .doc = "as x"}},
       .attributes = {{"epsilon", AttributeKind::real, 1e-5, "added to the variance"}},
       .infer = infer_inference,
       .cost = cost_apply,
       .in_place = {{0, 0}}},
      {.name = "batch_norm_apply",
       .family = "norm",
       .doc = "Batch normalisation by statistics that are known: y = scale * (x - mean) * "
              "inverse_std + bias. Used to compute an output of batch_norm again.",
       .internal = true,
       .inputs = {kX, kScale, {.name = "bias", .doc = "[C]"}, kMean, kInverseStd},
       .outputs = {{.name = "y", .doc = "as x"}},
       .infer = infer_apply,
       .cost = cost_apply,
       .in_place = {{0, 0}}},
      {.name = "batch_norm_backward",
       .family = "norm",
       .doc = "Gradient of batch_norm (Ioffe and Szegedy, 2015): with z = (x - mean) * inverse_std "
              "and means over the m values of a channel, dbias = sum dy, dscale = sum dy * z, "
              "dx = scale * inverse_std * (dy - dbias / m - z * dscale / m).",
       .internal = true,
       .inputs = {{.name = "dy", .doc = "gradient of y"}, kX, kScale, kMean, kInverseStd},
       .outputs = {{.name = "dx", .doc = "as x"},
                   {.name = "dscale", .doc = "[C]"},
                   {.name = "dbias", .doc = "[C]"}},
       .infer = infer_backward,
       .cost = cost_backward,
       .in_place = {{0, 0}, {1, 0}}},
  };
}

}  // namespace expgraph
