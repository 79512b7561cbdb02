// update: optimisers as the pipeline names them, and the update of one parameter.
#include <fmt/format.h>

#include "core/ops/families.h"
#include "core/ops/rules.h"

namespace expgraph {
namespace {

using Types = std::vector<TensorType>;

void check_attributes(const InferContext& context) {
  rules::require_range(context, "momentum", 0, 1, false);
  const double decay = context.attributes.real("weight_decay");
  if (decay < 0) context.fail(fmt::format("weight_decay is {}, expected at least 0", decay));
  if (context.attributes.flag("nesterov") && context.attributes.real("momentum") == 0) {
    context.fail("nesterov needs a momentum above 0");
  }
}

Types infer_sgd(const InferContext& context) {
  check_attributes(context);
  rules::require_scalar(context, 0);
  rules::require_scalar(context, 1);
  return {};
}

Types infer_sgd_update(const InferContext& context) {
  check_attributes(context);
  rules::require_float(context, 0);
  const TensorType& parameter = context.input(0);
  rules::require_type(context, 1, parameter, "the type of parameter");
  rules::require_type(context, 2, {accumulation_dtype(parameter.dtype), {}}, "a scalar");
  const bool momentum = context.attributes.real("momentum") != 0;
  if (momentum != context.has(3)) {
    context.fail(momentum ? "the state of momentum is absent and momentum is above 0"
                          : "the state of momentum is given and momentum is 0");
  }
  if (!momentum) return {parameter};
  rules::require_type(context, 3, parameter, "the type of parameter");
  return {parameter, parameter};
}

/// Weight decay, momentum, Nesterov's look-ahead and the step: a multiply and an add each.
Cost cost_sgd_update(const InferContext& context, std::span<const TensorType> outputs) {
  const int64_t terms = 1 + (context.attributes.real("weight_decay") != 0) + context.has(3) +
                        context.attributes.flag("nesterov");
  return rules::flop_cost(context, outputs, rules::product(2 * terms, context.input(0).elements()));
}

void update_sgd(const UpdateContext& context) {
  std::vector<ValueId> inputs = {context.parameter, context.gradient, context.lr};
  const bool has_momentum = context.attributes.real("momentum") != 0;
  if (has_momentum) inputs.push_back(context.add_state("momentum"));
  const NodeId step = context.add_node("sgd_update", inputs, context.attributes);
  context.graph.add_update(context.parameter, context.graph.output(step));
  if (has_momentum) context.graph.add_update(inputs[3], context.graph.output(step, 1));
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

std::vector<AttributeSchema> with_selection(std::vector<AttributeSchema> attributes) {
  for (AttributeSchema& one : selection()) attributes.push_back(std::move(one));
  return attributes;
}

std::vector<AttributeSchema> sgd_attributes() {
  return {{"momentum", AttributeKind::real, 0.0, "weight of the past, at least 0 and less than 1"},
          {"nesterov", AttributeKind::boolean, false, "Nesterov's form of momentum"},
          {"weight_decay", AttributeKind::real, 0.0, "times the parameter, added to its gradient"}};
}

}  // namespace

std::vector<OpSchema> update_ops() {
  return {
      {.name = "sgd",
       .family = "update",
       .doc = "Stochastic gradient descent with momentum (Sutskever et al., 2013) in PyTorch's "
              "form, for every parameter that the loss reaches: g = gradient + weight_decay * p; "
              "m = momentum * m + g; p = p - lr * (nesterov ? g + momentum * m : m).",
       .role = OpRole::optimiser,
       .inputs = {{.name = "loss", .doc = "scalar to make small"},
                  {.name = "lr", .doc = "learning rate, scalar"}},
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
