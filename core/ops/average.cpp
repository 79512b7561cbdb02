// average: second copies of the states that training changes, moved towards them every few steps.
#include <fmt/format.h>

#include "core/ops/families.h"
#include "core/ops/rules.h"

namespace expgraph {
namespace {

using Types = std::vector<TensorType>;

void check_steps(const InferContext& context) {
  rules::require_at_least(context, "every", 1);
  rules::require_at_least(context, "first", 0);
}

Types infer_ema(const InferContext& context) {
  check_steps(context);
  rules::require_range(context, "decay", 0, 1, false);
  return {};
}

Types infer_lookahead(const InferContext& context) {
  check_steps(context);
  rules::require_scalar(context, 0);
  return {};
}

/// Two tensors of one type and scalars.
Types infer_pair_and_scalars(const InferContext& context) {
  rules::require_float(context, 0);
  const TensorType& first = context.input(0);
  rules::require_type(context, 1, first, fmt::format("the type of {}", context.op.inputs[0].name));
  for (size_t k = 2; k < context.inputs.size(); ++k) {
    rules::require_type(context, k, {accumulation_dtype(first.dtype), {}}, "a scalar");
  }
  return {first};
}

Averaged average_ema(const AverageContext& context) {
  return {context.value, context.add("average_update", {context.average, context.value,
                                                        context.decay, context.when})};
}

Averaged average_lookahead(const AverageContext& context) {
  const ValueId slow = average_ema(context).average;
  return {context.add("choose", {context.value, slow, context.last}), slow};
}

std::vector<AttributeSchema> step_attributes() {
  return {{"every", AttributeKind::integer, int64_t{1}, "steps from one time to the next"},
          {"first", AttributeKind::integer, int64_t{0}, "steps until the first; 0: as `every`"}};
}

std::vector<AttributeSchema> ema_attributes() {
  std::vector<AttributeSchema> attributes = step_attributes();
  attributes.insert(attributes.begin(),
                    {"decay", AttributeKind::real, std::nullopt,
                     "weight of the past for each step, at least 0 and less than 1"});
  return attributes;
}

}  // namespace

std::vector<OpSchema> average_ops() {
  return {
      {.name = "ema",
       .family = "average",
       .doc = "Exponential moving average of every parameter and statistic that training changes "
              "(Polyak and Juditsky, 1992), which evaluation then uses: every few steps a = "
              "decay^every * a + (1 - decay^every) * x. It starts as a copy.",
       .role = OpRole::average,
       .attributes = ema_attributes(),
       .infer = infer_ema,
       .average = average_ema,
       .cost = rules::copy_cost,
       .evaluated = true,
       .example = "average: {op: ema, decay: 0.99, every: 5}"},
      {.name = "lookahead",
       .family = "average",
       .doc = "Slow copies of every parameter and statistic that training changes (Zhang et al., "
              "2019): every few steps slow = decay * slow + (1 - decay) * x and x = slow, after "
              "the last step x = slow. They start as copies.",
       .role = OpRole::average,
       .inputs = {{.name = "decay", .doc = "weight of the past, a schedule"}},
       .attributes = step_attributes(),
       .infer = infer_lookahead,
       .average = average_lookahead,
       .cost = rules::copy_cost,
       .example = "slow: {op: lookahead, decay: lr, every: 5}"},
      {.name = "average_update",
       .family = "average",
       .doc = "Moves an average: average + when * (1 - decay) * (x - average).",
       .internal = true,
       .inputs = {{.name = "average", .doc = "any shape"},
                  {.name = "x", .doc = "as average"},
                  {.name = "decay", .doc = "weight of the past, scalar"},
                  {.name = "when", .doc = "scalar, 0: the average stays"}},
       .outputs = {{.name = "new_average", .doc = "as average"}},
       .infer = infer_pair_and_scalars,
       .in_place = {{0, 0}}},
      {.name = "choose",
       .family = "average",
       .doc = "One of two tensors: other where `when` is not 0, else x.",
       .internal = true,
       .inputs = {{.name = "x", .doc = "any shape"},
                  {.name = "other", .doc = "as x"},
                  {.name = "when", .doc = "scalar"}},
       .outputs = {{.name = "y", .doc = "as x"}},
       .infer = infer_pair_and_scalars,
       .cost = rules::copy_cost,
       .in_place = {{0, 0}, {1, 0}}},
  };
}

}  // namespace expgraph
