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

/// Those of the inputs `first` .. `end`-1 that are there are of the channels of x.
void require_channel_inputs(const InferContext& context, const TensorType& x, size_t first,
                            size_t end) {
  for (size_t k = first; k < end; ++k) {
    if (!context.has(k)) continue;
    if (context.input(k).rank() == 1 && context.input(k).shape[0] != x.shape[1]) {
      context.fail(fmt::format("x has {} channels, {} expects {}", x.shape[1],
                               context.op.inputs[k].name, context.input(k).shape[0]));
    }
    rules::require_type(context, k, channel_type(x), kOneAChannel);
  }
}

/// Inputs `first` and after are statistics of x: one a channel, or that for each of several parts
/// of the batch.
void require_statistics(const InferContext& context, const TensorType& x, size_t first) {
  const Shape& mean = context.input(first).shape;
  const bool parts = mean.size() == 1 && mean[0] > x.shape[1] && mean[0] % x.shape[1] == 0;
  if (!parts) return require_channel_inputs(context, x, first, context.inputs.size());
  const int64_t splits = mean[0] / x.shape[1];
  if (x.shape[0] % splits != 0) {
    context.fail(fmt::format("{} is of {} parts, x has {} samples", context.op.inputs[first].name,
                             splits, x.shape[0]));
  }
  for (size_t k = first; k < context.inputs.size(); ++k) {
    rules::require_type(context, k, {accumulation_dtype(x.dtype), mean},
                        "one a channel of x and part");
  }
}

void check_epsilon(const InferContext& context) {
  const double epsilon = context.attributes.real("epsilon");
  if (epsilon > 0) return;
  context.fail_value("epsilon", fmt::format("epsilon is {}, expected more than 0", epsilon));
}

bool has_scale(const Attributes& attributes) { return attributes.text("affine") == "both"; }
bool has_bias(const Attributes& attributes) { return attributes.text("affine") != "none"; }

void check_batch_norm(const InferContext& context) {
  rules::require_channels(context, 0);
  check_epsilon(context);
  rules::require_range(context, "momentum", 0, 1, true);
  rules::require_at_least(context, "splits", 1);
  if (!has_scale(context.attributes) && context.attributes.text("scale_init") != "one") {
    context.fail("scale_init applies where affine is both: there is no scale");
  }
}

/// scale and bias are wired where `affine` says so.
void check_affine(const InferContext& context) {
  const bool wanted[] = {has_scale(context.attributes), has_bias(context.attributes)};
  for (size_t k = 1; k <= 2; ++k) {
    if (context.has(k) == wanted[k - 1]) continue;
    context.fail(fmt::format("affine is {} and {} is {}", context.attributes.text("affine"),
                             context.op.inputs[k].name, context.has(k) ? "given" : "absent"));
  }
}

Types infer_batch_norm(const InferContext& context) {
  check_batch_norm(context);
  check_affine(context);
  const TensorType& x = context.input(0);
  const int64_t splits = context.attributes.integer("splits");
  if (x.shape[0] % splits != 0) {
    context.fail(fmt::format("{} samples do not split into {} equal parts", x.shape[0], splits));
  }
  if (x.elements() == x.shape[1] * splits) {
    context.fail(fmt::format("{}, batch_norm needs more than one value a channel{}",
                             rules::described(context, 0), splits > 1 ? " in each part" : ""));
  }
  require_channel_inputs(context, x, 1, context.inputs.size());
  const TensorType channels = channel_type(x);
  const TensorType statistics{channels.dtype, {splits * x.shape[1]}};
  return {x, statistics, statistics, channels, channels};
}

std::optional<StateRule> state_batch_norm(const InferContext& context, size_t k) {
  check_batch_norm(context);
  const std::string_view name = context.op.inputs[k].name;
  if (name == "scale" && !has_scale(context.attributes)) return std::nullopt;
  if (name == "bias" && !has_bias(context.attributes)) return std::nullopt;
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
  require_channel_inputs(context, context.input(0), 1, context.inputs.size());
  return {context.input(0)};
}

Types infer_apply(const InferContext& context) {
  rules::require_channels(context, 0);
  require_channel_inputs(context, context.input(0), 1, 3);
  require_statistics(context, context.input(0), 3);
  return {context.input(0)};
}

Types infer_backward(const InferContext& context) {
  rules::require_channels(context, 1);
  const TensorType& x = context.input(1);
  rules::require_type(context, 0, x, "the type of y");
  require_channel_inputs(context, x, 2, 3);
  require_statistics(context, x, 3);
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
  const auto where_wired = [&](size_t k) { return context.in(k).valid() ? outputs[k] : ValueId{}; };
  return {outputs[0], where_wired(1), where_wired(2), ValueId{}, ValueId{}};
}

constexpr InputSchema kX = {.name = "x", .doc = "[N, C, H, W] or [N, C]"};
constexpr InputSchema kScale = {.name = "scale", .doc = "[C]; absent: 1", .optional = true};
constexpr InputSchema kBias = {.name = "bias", .doc = "[C]; absent: 0", .optional = true};
constexpr InputSchema kMean = {.name = "mean", .doc = "[splits * C], from batch_norm"};
constexpr InputSchema kInverseStd = {.name = "inverse_std", .doc = "[splits * C], from batch_norm"};

OpSchema batch_norm() {
  return {.name = "batch_norm",
          .family = "norm",
          .doc =
              "Batch normalisation (Ioffe and Szegedy, 2015): y = scale * (x - mean) / "
              "sqrt(var + epsilon) + bias, over all but the channels of the batch, var biased. "
              "Running statistics move by `momentum` towards the batch's (var unbiased), as "
              "PyTorch's; evaluation uses them. With `splits` each of so many equal parts of the "
              "batch, in its order, has statistics of its own, the mean of which the running ones "
              "move towards (ghost batch norm; Hoffer et al., 2017).",
          .inputs = {kX,
                     {.name = "scale",
                      .doc = "gamma [C]; absent: 1",
                      .role = InputRole::parameter,
                      .optional = true},
                     {.name = "bias",
                      .doc = "beta [C], starts 0; absent: 0",
                      .role = InputRole::parameter,
                      .optional = true},
                     {.name = "running_mean", .doc = "[C], starts 0", .role = InputRole::statistic},
                     {.name = "running_var", .doc = "[C], starts 1", .role = InputRole::statistic}},
          .outputs = {{.name = "y", .doc = "as x"},
                      {.name = "mean", .doc = "[splits * C], of each part of this batch"},
                      {.name = "inverse_std", .doc = "[splits * C], 1 / sqrt(var + epsilon)"},
                      {.name = "new_running_mean", .doc = "[C]", .updates = "running_mean"},
                      {.name = "new_running_var", .doc = "[C]", .updates = "running_var"}},
          .attributes = {{"epsilon", AttributeKind::real, 1e-5, "added to the variance"},
                         {"momentum", AttributeKind::real, 0.1,
                          "weight of this batch in the running statistics, 0 to 1"},
                         {"scale_init",
                          AttributeKind::text,
                          std::string("one"),
                          "how scale starts: 1, or uniform in [0, 1)",
                          {"one", "uniform"}},
                         {"affine",
                          AttributeKind::text,
                          std::string("both"),
                          "which of scale and bias there are: both, bias (scale is 1), none",
                          {"both", "bias", "none"}},
                         {"splits", AttributeKind::integer, int64_t{1},
                          "parts of the batch with statistics of their own"}},
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
                  kBias,
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
       .inputs = {kX, kScale, kBias, kMean, kInverseStd},
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
