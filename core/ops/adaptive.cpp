// adaptive: optimisers whose step does not simply follow the gradient: adam, lars, muon.
#include <fmt/format.h>

#include <algorithm>

#include "core/ops/families.h"
#include "core/ops/optimiser.h"
#include "core/ops/rules.h"

namespace expgraph {
namespace {

using Types = std::vector<TensorType>;

// adam

void check_adam(const InferContext& context) {
  rules::require_range(context, "beta2", 0, 1, false);
  require_decay(context);
  const double epsilon = context.attributes.real("epsilon");
  if (epsilon <= 0) context.fail(fmt::format("epsilon is {}, expected above 0", epsilon));
}

Types infer_adam(const InferContext& context) {
  require_scalars(context);
  rules::require_range(context, "beta1", 0, 1, false);
  check_adam(context);
  return {};
}

Types infer_adam_update(const InferContext& context) {
  check_adam(context);
  require_step(context, 5);
  return Types(3, context.input(0));
}

Cost cost_adam(const InferContext& context, std::span<const TensorType> outputs) {
  return rules::flop_cost(context, outputs, rules::product(14, context.input(0).elements()));
}

/// Steps done, this one included: one state for all parameters of the optimiser.
ValueId count_steps(const UpdateContext& context) {
  Graph& graph = context.graph;
  const std::string name = fmt::format("{}/steps", context.optimiser);
  if (const Leaf* leaf = graph.find_leaf(name)) {
    const auto update =
        std::ranges::find(graph.updates(), ValueId(leaf->value), &StateUpdate::state);
    return update->value;
  }
  const TensorType type = graph.type(context.lr);
  const ValueId steps = graph.add_state(name, type, {}, false);
  Attributes one;
  one.set("value", 1.0);
  one.set("dtype", std::string(to_string(type.dtype)));
  const std::string path(context.optimiser);
  const ValueId done =
      graph.add("add", {steps, graph.add("constant", {}, std::move(one), path)}, {}, path);
  graph.add_update(steps, done);
  return done;
}

ValueId beta1_of(const UpdateContext& context) {
  if (context.inputs.size() > 2 && context.inputs[2].valid()) return context.inputs[2];
  Attributes beta;
  beta.set("value", context.attributes.real("beta1"));
  beta.set("dtype", std::string(to_string(context.graph.type(context.lr).dtype)));
  return context.graph.add("constant", {}, std::move(beta), std::string(context.optimiser));
}

void update_adam(const UpdateContext& context) {
  Attributes attributes = context.attributes;
  attributes.erase("beta1");
  const ValueId mean = context.add_state("mean"), square = context.add_state("square");
  const ValueId steps = count_steps(context), beta1 = beta1_of(context);
  const NodeId step = context.add_node(
      "adam_update", {context.parameter, context.gradient, context.lr, steps, beta1, mean, square},
      std::move(attributes));
  context.graph.add_update(context.parameter, context.graph.output(step));
  context.graph.add_update(mean, context.graph.output(step, 1));
  context.graph.add_update(square, context.graph.output(step, 2));
}

std::vector<AttributeSchema> adam_attributes() {
  return {{"beta2", AttributeKind::real, 0.999, "weight of the past of the squares"},
          {"epsilon", AttributeKind::real, 1e-8, "added to the root of the squares"},
          {"weight_decay", AttributeKind::real, 0.0, "times lr and the parameter, taken from it"}};
}

// lars and muon

void check_lars(const InferContext& context) {
  rules::require_range(context, "momentum", 0, 1, false);
  require_decay(context);
  const double trust = context.attributes.real("trust");
  if (trust <= 0) context.fail(fmt::format("trust is {}, expected above 0", trust));
}

Types infer_lars(const InferContext& context) {
  require_scalars(context);
  check_lars(context);
  return {};
}

Types infer_lars_update(const InferContext& context) {
  check_lars(context);
  require_step(context, 3);
  return Types(2, context.input(0));
}

Cost cost_lars(const InferContext& context, std::span<const TensorType> outputs) {
  return rules::flop_cost(context, outputs, rules::product(10, context.input(0).elements()));
}

Types infer_muon(const InferContext& context) {
  require_scalars(context);
  rules::require_range(context, "momentum", 0, 1, false);
  rules::require_at_least(context, "iterations", 1);
  return {};
}

Types infer_muon_update(const InferContext& context) {
  rules::require_range(context, "momentum", 0, 1, false);
  rules::require_at_least(context, "iterations", 1);
  require_step(context, 3);
  if (context.input(0).rank() < 2) {
    context.fail(fmt::format("{}, muon takes filters and matrices: say which with 'parameters'",
                             rules::described(context, 0)));
  }
  return Types(2, context.input(0));
}

/// Three products an iteration over the shorter side of the matrix.
Cost cost_muon(const InferContext& context, std::span<const TensorType> outputs) {
  const TensorType& type = context.input(0);
  const int64_t rows = type.shape[0], columns = type.elements() / rows;
  const int64_t side = std::min(rows, columns);
  const int64_t square = rules::product(side, side);
  const int64_t wide = rules::product(square, std::max(rows, columns));
  const int64_t macs = rules::product(square, side) + 2 * wide;
  return rules::mac_cost(context, outputs,
                         rules::product(context.attributes.integer("iterations"), macs));
}

/// The update node of an optimiser with one state, its momentum.
template <const char* kNode>
void update_with_momentum(const UpdateContext& context) {
  const ValueId momentum = context.add_state("momentum");
  const NodeId step = context.add_node(
      kNode, {context.parameter, context.gradient, context.lr, momentum}, context.attributes);
  context.graph.add_update(context.parameter, context.graph.output(step));
  context.graph.add_update(momentum, context.graph.output(step, 1));
}
constexpr char kLarsUpdate[] = "lars_update";
constexpr char kMuonUpdate[] = "muon_update";

std::vector<AttributeSchema> lars_attributes() {
  return {{"momentum", AttributeKind::real, 0.9, "weight of the past"},
          {"weight_decay", AttributeKind::real, 0.0, "times the parameter, added to its gradient"},
          {"trust", AttributeKind::real, 0.001, "length of a step as part of the parameter's"}};
}

std::vector<AttributeSchema> muon_attributes() {
  return {{"momentum", AttributeKind::real, 0.6, "weight of the past"},
          {"nesterov", AttributeKind::boolean, true, "Nesterov's form of momentum"},
          {"iterations", AttributeKind::integer, int64_t{3}, "of Newton and Schulz"},
          {"normalise", AttributeKind::boolean, true,
           "the parameter is first brought to the length sqrt(rows)"}};
}

std::vector<InputSchema> optimiser_inputs() {
  return {{.name = "loss", .doc = "scalar to make small"},
          {.name = "lr", .doc = "learning rate, scalar"}};
}

OpSchema step_op(std::string_view name, std::string_view doc,
                 std::vector<AttributeSchema> attributes) {
  return {.name = name,
          .family = "adaptive",
          .doc = doc,
          .internal = true,
          .inputs = {{.name = "parameter", .doc = "any shape"},
                     {.name = "gradient", .doc = "as parameter"},
                     {.name = "lr", .doc = "learning rate, scalar"},
                     {.name = "momentum", .doc = "m, as parameter"}},
          .outputs = {{.name = "new_parameter", .doc = "as parameter"},
                      {.name = "new_momentum", .doc = "m', as parameter"}},
          .attributes = std::move(attributes),
          .in_place = {{0, 0}, {3, 1}}};
}

OpSchema adam_op() {
  OpSchema op{.name = "adam",
              .family = "adaptive",
              .doc =
                  "Adam (Kingma and Ba, 2015) with decoupled weight decay (Loshchilov and "
                  "Hutter, 2019): p = p * (1 - lr * weight_decay) - lr * (m / (1 - beta1^t)) / "
                  "(sqrt(v / (1 - beta2^t)) + epsilon), in PyTorch's form.",
              .role = OpRole::optimiser,
              .inputs = optimiser_inputs(),
              .attributes = with_selection(adam_attributes()),
              .infer = infer_adam,
              .update = update_adam,
              .cost = rules::copy_cost,
              .example = "update: {op: adam, loss: loss, lr: lr, beta2: 0.99, weight_decay: 0.42}"};
  op.inputs.push_back({.name = "momentum",
                       .doc = "beta1 as a schedule, instead of the attribute",
                       .optional = true});
  op.attributes.insert(op.attributes.begin(),
                       {"beta1", AttributeKind::real, 0.9, "weight of the past of the gradient"});
  return op;
}

OpSchema adam_update_op() {
  return {.name = "adam_update",
          .family = "adaptive",
          .doc =
              "One parameter's step of adam: m' = beta1 * m + (1 - beta1) * g; v' = beta2 * v + "
              "(1 - beta2) * g^2; parameter' = parameter * (1 - lr * weight_decay) - lr * (m' / "
              "(1 - beta1^t)) / (sqrt(v' / (1 - beta2^t)) + epsilon).",
          .internal = true,
          .inputs = {{.name = "parameter", .doc = "any shape"},
                     {.name = "gradient", .doc = "g, as parameter"},
                     {.name = "lr", .doc = "learning rate, scalar"},
                     {.name = "steps", .doc = "t, counted from 1, scalar"},
                     {.name = "beta1", .doc = "scalar"},
                     {.name = "mean", .doc = "m, as parameter"},
                     {.name = "square", .doc = "v, as parameter"}},
          .outputs = {{.name = "new_parameter", .doc = "as parameter"},
                      {.name = "new_mean", .doc = "m', as parameter"},
                      {.name = "new_square", .doc = "v', as parameter"}},
          .attributes = adam_attributes(),
          .infer = infer_adam_update,
          .cost = cost_adam,
          .in_place = {{0, 0}, {5, 1}, {6, 2}}};
}

}  // namespace

std::vector<OpSchema> adaptive_ops() {
  OpSchema lars_update = step_op(
      kLarsUpdate,
      "One parameter's step of lars: g = gradient + weight_decay * p; rate = trust * |p| / "
      "(|gradient| + weight_decay * |p|), 1 where |p| or |gradient| is 0; m' = momentum * m + lr * "
      "rate * g; p' = p - m'.",
      lars_attributes());
  lars_update.infer = infer_lars_update;
  lars_update.cost = cost_lars;
  OpSchema muon_update = step_op(
      kMuonUpdate,
      "One parameter's step of muon, as a matrix of its first dimension by the rest: m' = momentum "
      "* m + gradient; X = nesterov ? gradient + momentum * m' : m'; X = X / (|X| + 1e-7); each "
      "iteration A = X X^T, X = 3.4445 X + (-4.775 A + 2.0315 A A) X; p' = p * sqrt(rows) / |p| - "
      "lr * X.",
      muon_attributes());
  muon_update.infer = infer_muon_update;
  muon_update.cost = cost_muon;
  return {
      adam_op(),
      adam_update_op(),
      {.name = "lars",
       .family = "adaptive",
       .doc = "Layer-wise adaptive rate scaling (You, Gitman and Ginsburg, 2017): the step of each "
              "parameter is as long as a part of the parameter is.",
       .role = OpRole::optimiser,
       .inputs = optimiser_inputs(),
       .attributes = with_selection(lars_attributes()),
       .infer = infer_lars,
       .update = update_with_momentum<kLarsUpdate>,
       .cost = rules::copy_cost,
       .example = "filters: {op: lars, parameters: \"**/w\", loss: loss, lr: lr, trust: 0.02}"},
      lars_update,
      {.name = "muon",
       .family = "adaptive",
       .doc =
           "Momentum whose step is made orthogonal by iterations of Newton and Schulz (Jordan et "
           "al., 2024), for filters and matrices.",
       .role = OpRole::optimiser,
       .inputs = optimiser_inputs(),
       .attributes = with_selection(muon_attributes()),
       .infer = infer_muon,
       .update = update_with_momentum<kMuonUpdate>,
       .cost = rules::copy_cost,
       .example = "filters: {op: muon, parameters: \"**/conv*/w\", loss: loss, lr: lr}"},
      muon_update,
  };
}

}  // namespace expgraph
