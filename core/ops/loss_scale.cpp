// loss_scale: losses are differentiated times a factor, so that small gradients do not vanish in 16
// bits; the factor follows overflows.
#include <limits>

#include "core/ops/families.h"
#include "core/ops/rules.h"

namespace expgraph {
namespace {

using Types = std::vector<TensorType>;

void check_growth(const InferContext& context) {
  rules::require_at_least(context, "every", 1);
  constexpr double most = std::numeric_limits<float>::max();
  rules::require_range(context, "largest", 1, most, true);
}

Types infer_loss_scale(const InferContext& context) {
  check_growth(context);
  rules::require_range(context, "start", 1, context.attributes.real("largest"), true);
  return {};
}

void require_scale(const InferContext& context, size_t k) {
  rules::require_type(context, k, {accumulation_dtype(context.input(0).dtype), {}}, "a scalar");
}

Types infer_unscale(const InferContext& context) {
  rules::require_float(context, 0);
  require_scale(context, 1);
  return {context.input(0)};
}

Types infer_all_finite(const InferContext& context) {
  for (size_t k = 0; k < context.inputs.size(); ++k) rules::require_float(context, k);
  return {{accumulation_dtype(context.input(0).dtype), {}}};
}

Types infer_loss_scale_update(const InferContext& context) {
  check_growth(context);
  rules::require_scalar(context, 0);
  require_scale(context, 1);
  require_scale(context, 2);
  return {context.input(0), context.input(1)};
}

std::vector<AttributeSchema> growth() {
  return {{"every", AttributeKind::integer, int64_t{1000}, "steps without overflow that double it"},
          {"largest", AttributeKind::real, 16777216.0, "it grows no further"}};
}

std::vector<AttributeSchema> start_and_growth() {
  std::vector<AttributeSchema> attributes = growth();
  attributes.insert(attributes.begin(),
                    {"start", AttributeKind::real, 65536.0, "the first factor, at least 1"});
  return attributes;
}

}  // namespace

std::vector<OpSchema> loss_scale_ops() {
  return {
      {.name = "loss_scale",
       .family = "loss_scale",
       .doc = "Dynamic loss scaling (Micikevicius et al., 2018, arXiv 1710.03740): losses are "
              "differentiated times a factor, by which the gradients are divided. A step with a "
              "gradient that is not finite changes no parameter, statistic or state of an "
              "optimiser and halves the factor, down to 1; many steps without one double it. "
              "Averages go on with what is there.",
       .role = OpRole::loss_scale,
       .attributes = start_and_growth(),
       .infer = infer_loss_scale,
       .cost = rules::copy_cost,
       .example = "scaling: {op: loss_scale, start: 65536, every: 1000}"},
      {.name = "unscale",
       .family = "loss_scale",
       .doc = "Quotient by a scalar: y = x / scale.",
       .internal = true,
       .inputs = {{.name = "x", .doc = "any shape"}, {.name = "scale", .doc = "scalar"}},
       .outputs = {{.name = "y", .doc = "as x"}},
       .infer = infer_unscale,
       .in_place = {{0, 0}}},
      {.name = "all_finite",
       .family = "loss_scale",
       .doc = "1 when no element of any input is NaN or Inf, else 0.",
       .internal = true,
       .inputs = {{.name = "x", .doc = "any shapes", .variadic = true}},
       .outputs = {{.name = "finite", .doc = "scalar"}},
       .infer = infer_all_finite,
       .cost = rules::copy_cost},
      {.name = "loss_scale_update",
       .family = "loss_scale",
       .doc = "The factor of the next step: half of this one after an overflow, at least 1; twice "
              "this one, at most `largest`, after `every` steps without; they are counted from the "
              "last change.",
       .internal = true,
       .inputs = {{.name = "scale", .doc = "scalar"},
                  {.name = "steps", .doc = "without overflow so far, scalar"},
                  {.name = "finite", .doc = "scalar, 0: there was an overflow"}},
       .outputs = {{.name = "new_scale", .doc = "scalar"}, {.name = "new_steps", .doc = "scalar"}},
       .attributes = growth(),
       .infer = infer_loss_scale_update,
       .in_place = {{0, 0}, {1, 1}}},
  };
}

}  // namespace expgraph
