// loss: cross-entropy with its gradient, and the count of correct answers.
#include <fmt/format.h>

#include "core/ops/families.h"
#include "core/ops/rules.h"

namespace expgraph {
namespace {

using Types = std::vector<TensorType>;

/// logits [N, K] at input `logits`, label i32[N] after it.
void check_logits(const InferContext& context, size_t logits) {
  rules::require_float(context, logits);
  rules::require_rank(context, logits, 2, "[N, K]");
  rules::require_dtype(context, logits + 1, DType::i32);
  rules::require_rank(context, logits + 1, 1, "[N]");
  const int64_t samples = context.input(logits).shape[0];
  const int64_t labels = context.input(logits + 1).shape[0];
  if (samples != labels) {
    context.fail(fmt::format("logits has {} samples, label has {}", samples, labels));
  }
}

/// other and weight, i32[N], after the label: both or neither.
void check_mixture(const InferContext& context, size_t logits) {
  const size_t other = logits + 2, weight = logits + 3;
  if (context.has(other) != context.has(weight)) {
    context.fail(context.has(weight) ? "weight is given and other is absent"
                                     : "other is given and weight is absent");
  }
  if (!context.has(other)) return;
  const TensorType samples{DType::i32, {context.input(logits).shape[0]}};
  rules::require_type(context, other, samples, "one a sample");
  rules::require_type(context, weight, samples, "one a sample");
}

TensorType scalar_for(const TensorType& logits) { return {accumulation_dtype(logits.dtype), {}}; }

Types infer_cross_entropy(const InferContext& context) {
  check_logits(context, 0);
  check_mixture(context, 0);
  rules::require_range(context, "label_smoothing", 0, 1, false);
  return {scalar_for(context.input(0))};
}

Types infer_cross_entropy_backward(const InferContext& context) {
  check_logits(context, 1);
  check_mixture(context, 1);
  rules::require_range(context, "label_smoothing", 0, 1, false);
  rules::require_type(context, 0, scalar_for(context.input(1)), "the type of loss");
  return {context.input(1)};
}

Types infer_correct(const InferContext& context) {
  check_logits(context, 0);
  const int64_t k = context.attributes.integer("k");
  const int64_t classes = context.input(0).shape[1];
  if (k < 1 || k > classes) {
    context.fail_value(
        "k", fmt::format("k is {}, expected 1 to {} (the classes of logits)", k, classes));
  }
  return {scalar_for(context.input(0))};
}

/// Per logit: maximum, subtract, exponential, sum, and their use.
Cost cost_loss(const InferContext& context, std::span<const TensorType> outputs) {
  const TensorType& logits = context.input(context.op.inputs[0].name == "logits" ? 0 : 1);
  return rules::flop_cost(context, outputs, rules::product(5, logits.elements()));
}

/// Per logit: one comparison with the logit of the label.
Cost cost_correct(const InferContext& context, std::span<const TensorType> outputs) {
  return rules::flop_cost(context, outputs, context.input(0).elements());
}

std::vector<ValueId> gradient_cross_entropy(const GradientContext& context) {
  std::vector<ValueId> gradients(4);
  gradients[0] = context.add(
      "cross_entropy_backward",
      {context.output_grads[0], context.in(0), context.in(1), context.in(2), context.in(3)},
      context.node.attributes);
  return gradients;
}

}  // namespace

std::vector<OpSchema> loss_ops() {
  const InputSchema logits = {.name = "logits", .doc = "[N, K], one a class"};
  const InputSchema label = {.name = "label", .doc = "i32[N], each 0 to K-1"};
  const InputSchema other = {
      .name = "other", .doc = "i32[N], a second label; absent: none", .optional = true};
  const InputSchema weight = {
      .name = "weight", .doc = "i32[N], of label beside other in 65536ths", .optional = true};
  const std::vector<AttributeSchema> attributes = {
      {"reduction", AttributeKind::text, std::string("mean"), "over the samples", {"mean", "sum"}},
      {"label_smoothing", AttributeKind::real, 0.0,
       "weight of the uniform distribution, at least 0 and less than 1"}};
  return {
      {.name = "cross_entropy",
       .family = "loss",
       .doc = "Softmax cross-entropy with label smoothing (Szegedy et al., 2016): with p = "
              "softmax(logits), (1 - s) * -log p[label] + s * mean over classes of -log p, reduced "
              "over the samples. Of a mixture of two images (mixup) -log p[label] is weight * -log "
              "p[label] + (1 - weight) * -log p[other].",
       .role = OpRole::metric,
       .inputs = {logits, label, other, weight},
       .outputs = {{.name = "loss", .doc = "scalar"}},
       .attributes = attributes,
       .infer = infer_cross_entropy,
       .gradient = gradient_cross_entropy,
       .cost = cost_loss,
       .example = "loss: {op: cross_entropy, label_smoothing: 0.1, inputs: [net, batch/label]}"},
      {.name = "cross_entropy_backward",
       .family = "loss",
       .doc = "Gradient of cross_entropy: dlogits = dloss * (softmax(logits) - target), divided by "
              "N for a mean; target is (1 - s) at the label, shared with the other by weight, "
              "plus s / K everywhere.",
       .internal = true,
       .inputs =
           {{.name = "dloss", .doc = "gradient of loss, scalar"}, logits, label, other, weight},
       .outputs = {{.name = "dlogits", .doc = "[N, K]"}},
       .attributes = attributes,
       .infer = infer_cross_entropy_backward,
       .cost = cost_loss,
       .in_place = {{1, 0}}},
      {.name = "correct",
       .family = "loss",
       .doc = "Number of samples whose label is among the k largest logits; of equal logits the "
              "lower class counts as larger.",
       .role = OpRole::metric,
       .inputs = {logits, label},
       .outputs = {{.name = "count", .doc = "scalar"}},
       .attributes = {{"k", AttributeKind::integer, int64_t{1}, "how many answers a sample has"}},
       .infer = infer_correct,
       .cost = cost_correct,
       .example = "accuracy: {op: correct, inputs: [net, batch/label]}"},
  };
}

}  // namespace expgraph
