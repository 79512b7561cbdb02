// update: optimisers as the pipeline names them, and the update of one parameter.
#include <fmt/format.h>

#include "core/ops/families.h"
#include "core/ops/optimiser.h"
#include "core/ops/rules.h"

namespace expgraph {
namespace {

using Types = std::vector<TensorType>;

// Inputs of sgd after loss and lr.
constexpr size_t kMomentumSchedule = 2;
constexpr size_t kDecaySchedule = 3;

void check_momentum(const InferContext& context, bool has_momentum) {
  rules::require_range(context, "momentum", 0, 1, false);
  require_decay(context);
  if (context.attributes.flag("nesterov") && !has_momentum) {
    context.fail_value("nesterov", "nesterov needs a momentum above 0");
  }
}

Types infer_sgd(const InferContext& context) {
  require_scalars(context);
  const double momentum = context.attributes.real("momentum");
  const bool scheduled = context.has(kMomentumSchedule);
  if (momentum != 0 && scheduled) {
    context.fail(
        fmt::format("momentum is {} and a schedule as well, expected one of them", momentum));
  }
  check_momentum(context, momentum != 0 || scheduled);
  return {};
}

Types infer_sgd_update(const InferContext& context) {
  const bool momentum = context.attributes.real("momentum") != 0;
  check_momentum(context, momentum);
  require_step(context, 3);
  const TensorType& parameter = context.input(0);
  if (momentum != context.has(3)) {
    context.fail(momentum ? "the state of momentum is absent and momentum is above 0"
                          : "the state of momentum is given and momentum is 0");
  }
  return Types(momentum ? 2 : 1, parameter);
}

/// Weight decay, momentum, Nesterov's look-ahead and the step: a multiply and an add each.
Cost cost_sgd_update(const InferContext& context, std::span<const TensorType> outputs) {
  const int64_t terms = 1 + (context.attributes.real("weight_decay") != 0) + context.has(3) +
                        context.attributes.flag("nesterov");
  return rules::flop_cost(context, outputs, rules::product(2 * terms, context.input(0).elements()));
}

ValueId one_of(const UpdateContext& context, std::string_view op, std::vector<ValueId> inputs) {
  return context.graph.output(context.add_node(op, std::move(inputs), {}));
}

/// The gradient with the decay of this step, where that has a schedule or momentum one: sgd_update
/// knows constants alone.
ValueId decayed(const UpdateContext& context, ValueId schedule) {
  const double decay = context.attributes.real("weight_decay");
  if (decay == 0) return context.gradient;
  Attributes factor;
  factor.set("factor", decay);
  ValueId pull =
      context.graph.output(context.add_node("scale", {context.parameter}, std::move(factor)));
  if (schedule.valid()) pull = one_of(context, "scale_by", {pull, schedule});
  return one_of(context, "add", {context.gradient, pull});
}

void update_sgd(const UpdateContext& context) {
  const auto scheduled = [&](size_t k) {
    return k < context.inputs.size() ? context.inputs[k] : ValueId();
  };
  const ValueId momentum = scheduled(kMomentumSchedule), decay = scheduled(kDecaySchedule);
  Attributes attributes = context.attributes;
  ValueId step = context.gradient;
  if (momentum.valid() || decay.valid()) {
    step = decayed(context, decay);
    attributes.set("weight_decay", 0.0);
  }
  if (momentum.valid()) {
    const ValueId past = context.add_state("momentum");
    const ValueId velocity =
        one_of(context, "add", {step, one_of(context, "scale_by", {past, momentum})});
    context.graph.add_update(past, velocity);
    const bool nesterov = attributes.flag("nesterov");
    attributes.set("nesterov", false);
    step = nesterov
               ? one_of(context, "add", {step, one_of(context, "scale_by", {velocity, momentum})})
               : velocity;
  }
  std::vector<ValueId> inputs = {context.parameter, step, context.lr};
  const bool has_momentum = attributes.real("momentum") != 0;
  if (has_momentum) inputs.push_back(context.add_state("momentum"));
  const NodeId made = context.add_node("sgd_update", inputs, std::move(attributes));
  context.graph.add_update(context.parameter, context.graph.output(made));
  if (has_momentum) context.graph.add_update(inputs[3], context.graph.output(made, 1));
}

Types infer_group(const InferContext& context) {
  for (const std::string_view factor : {"lr", "weight_decay"}) {
    const double value = context.attributes.real(factor);
    if (value < 0) context.fail(fmt::format("{} is {}, expected at least 0", factor, value));
  }
  if (context.has(0)) rules::require_scalar(context, 0);
  return {};
}

/// Which parameters a node means.
std::vector<AttributeSchema> selection() {
  return {{"parameters", AttributeKind::text, std::string(),
           "a glob over their paths; empty: all that no other optimiser names"},
          {"of", AttributeKind::text, std::string(), "of nodes with this operator only"}};
}

std::vector<AttributeSchema> sgd_attributes() {
  return {{"momentum", AttributeKind::real, 0.0, "weight of the past, at least 0 and less than 1"},
          {"nesterov", AttributeKind::boolean, false, "Nesterov's form of momentum"},
          {"weight_decay", AttributeKind::real, 0.0, "times the parameter, added to its gradient"}};
}

}  // namespace

std::vector<AttributeSchema> with_selection(std::vector<AttributeSchema> attributes) {
  for (AttributeSchema& one : selection()) attributes.push_back(std::move(one));
  return attributes;
}

void require_scalars(const InferContext& context) {
  for (size_t k = 0; k < context.inputs.size(); ++k) {
    if (context.has(k)) rules::require_scalar(context, k);
  }
}

void require_decay(const InferContext& context) {
  const double decay = context.attributes.real("weight_decay");
  if (decay < 0)
    context.fail_value("weight_decay",
                       fmt::format("weight_decay is {}, expected at least 0", decay));
}

void require_step(const InferContext& context, size_t first) {
  rules::require_float(context, 0);
  const TensorType& parameter = context.input(0);
  rules::require_type(context, 1, parameter, "the type of parameter");
  for (size_t k = 2; k < context.inputs.size(); ++k) {
    if (!context.has(k)) continue;
    if (k < first) {
      rules::require_type(context, k, {accumulation_dtype(parameter.dtype), {}}, "a scalar");
    } else {
      rules::require_type(context, k, parameter, "the type of parameter");
    }
  }
}

std::vector<OpSchema> update_ops() {
  return {
      {.name = "sgd",
       .family = "update",
       .doc = "Stochastic gradient descent with momentum (Sutskever et al., 2013) in PyTorch's "
              "form, for every parameter that the loss reaches: g = gradient + weight_decay * p; "
              "m = momentum * m + g; p = p - lr * (nesterov ? g + momentum * m : m).",
       .role = OpRole::optimiser,
       .inputs = {{.name = "loss", .doc = "scalar to make small"},
                  {.name = "lr", .doc = "learning rate, scalar"},
                  {.name = "momentum_schedule",
                   .doc = "scalar, instead of momentum",
                   .optional = true},
                  {.name = "weight_decay_schedule",
                   .doc = "scalar, times weight_decay",
                   .optional = true}},
       .attributes = with_selection(sgd_attributes()),
       .infer = infer_sgd,
       .update = update_sgd,
       .cost = rules::copy_cost,
       .example = "update: {op: sgd, inputs: [loss], lr: lr, momentum: 0.9, nesterov: true, "
                  "weight_decay: 5e-4}"},
      {.name = "parameter_group",
       .family = "update",
       .doc = "Factors of the learning rate and weight decay of some parameters; those of several "
              "groups multiply. Without a schedule, lr 0 freezes them: no gradient is computed.",
       .role = OpRole::group,
       .inputs = {{.name = "schedule",
                   .doc = "a further factor of the learning rate, scalar",
                   .optional = true}},
       .attributes = {{"parameters", AttributeKind::text, std::nullopt,
                       "a glob over their paths: \"**/bn/bias\""},
                      {"of", AttributeKind::text, std::string(),
                       "of nodes with this operator only"},
                      {"lr", AttributeKind::real, 1.0, "times the learning rate"},
                      {"weight_decay", AttributeKind::real, 1.0, "times the weight decay"}},
       .infer = infer_group,
       .cost = rules::copy_cost,
       .example = "biases: {op: parameter_group, parameters: \"**/bias\", lr: 64, weight_decay: "
                  "0.015625}"},
      {.name = "sgd_update",
       .family = "update",
       .doc = "One parameter's step of sgd: g = gradient + weight_decay * parameter; m' = momentum "
              "* m + g; parameter' = parameter - lr * (nesterov ? g + momentum * m' : m').",
       .internal = true,
       .inputs = {{.name = "parameter", .doc = "any shape"},
                  {.name = "gradient", .doc = "as parameter"},
                  {.name = "lr", .doc = "learning rate, scalar"},
                  {.name = "momentum",
                   .doc = "m, as parameter; absent when momentum is 0",
                   .optional = true}},
       .outputs = {{.name = "new_parameter", .doc = "as parameter"},
                   {.name = "new_momentum", .doc = "m', absent when momentum is 0"}},
       .attributes = sgd_attributes(),
       .infer = infer_sgd_update,
       .cost = cost_sgd_update,
       .in_place = {{0, 0}, {3, 1}}},
  };
}

}  // namespace expgraph
