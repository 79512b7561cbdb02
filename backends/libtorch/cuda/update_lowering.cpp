// update_lowering: nodes of updates, alone or with the average of what they make -> the kernel of
// update.cu.
#include "backends/libtorch/cuda/part.h"

namespace expgraph::libtorch {

namespace {

constexpr size_t kNone = static_cast<size_t>(-1);

/// What the node's inputs are to the update, by position; and over which of them each output lies.
struct Roles {
  size_t parameter = kNone, gradient = kNone, lr = kNone, momentum = kNone;
  size_t average = kNone, decay = kNone, when = kNone, last = kNone;
  std::vector<size_t> over;

  bool has_momentum() const { return momentum != kNone; }
  bool has_average() const { return average != kNone; }
};

/// Of sgd_update alone.
Roles roles_of_update(const MakerContext& context) {
  Roles roles{.parameter = 0, .gradient = 1, .lr = 2, .over = {0}};
  if (context.has(3)) {
    roles.momentum = 3;
    roles.over.push_back(3);
  }
  return roles;
}

/// Of sgd_update, average_update of its result and, where there is a third node, the choice between
/// both; nothing for another body.
std::optional<Roles> roles_of_body(const Graph& body) {
  const std::vector<Node>& nodes = body.nodes();
  const auto is = [&](size_t n, std::string_view op) { return nodes[n].op->name == op; };
  const bool known = (nodes.size() == 2 || (nodes.size() == 3 && is(2, "choose"))) &&
                     is(0, "sgd_update") && is(1, "average_update");
  if (!known || nodes[1].inputs[1] != nodes[0].outputs[0]) return std::nullopt;
  const auto leaf = [&](size_t n, size_t k) {
    const ValueId input = k < nodes[n].inputs.size() ? nodes[n].inputs[k] : ValueId();
    const bool is_leaf = input.valid() && body.is_leaf(input);
    return is_leaf ? static_cast<size_t>(body.value(input).output) : kNone;
  };
  Roles roles{.parameter = leaf(0, 0),
              .gradient = leaf(0, 1),
              .lr = leaf(0, 2),
              .momentum = leaf(0, 3),
              .average = leaf(1, 0),
              .decay = leaf(1, 2),
              .when = leaf(1, 3)};
  if (roles.average == kNone) return std::nullopt;
  if (nodes.size() == 3) {
    roles.last = leaf(2, 2);
    if (nodes[2].inputs[0] != nodes[0].outputs[0] || nodes[2].inputs[1] != nodes[1].outputs[0])
      return std::nullopt;
  }
  for (const Result& result : body.results()) {
    const auto& [producer, output, type] = body.value(result.value);
    const bool is_parameter = producer.index != 1 && output == 0;
    roles.over.push_back(is_parameter          ? roles.parameter
                         : producer.index == 1 ? roles.average
                                               : roles.momentum);
  }
  return roles;
}

/// Whether all that the kernel writes is to be written where it lies.
bool is_in_place(const MakerContext& context, const Roles& roles) {
  for (size_t k = 0; k < roles.over.size(); ++k)
    if (!context.over(k, roles.over[k])) return false;
  return roles.over.size() == 1u + roles.has_momentum() + roles.has_average();
}

}  // namespace

/// Over states that lie end to end, as the executable lays them.
std::optional<Kernel> make_update(const MakerContext& context) {
  const bool alone = context.node.op->name == "sgd_update";
  if (!alone && !context.node.body) return std::nullopt;
  const std::optional<Roles> roles =
      alone ? roles_of_update(context) : roles_of_body(*context.node.body);
  if (!roles || !is_in_place(context, *roles)) return std::nullopt;
  if (context.input(roles->parameter).dtype != DType::f32) return std::nullopt;
  const Attributes& attributes =
      alone ? context.node.attributes : context.node.body->nodes()[0].attributes;
  cuda::Update update{};
  update.momentum_factor = static_cast<float>(attributes.real("momentum"));
  update.weight_decay = static_cast<float>(attributes.real("weight_decay"));
  update.nesterov = attributes.flag("nesterov");
  return [update, roles = *roles](std::span<const at::Tensor> in) -> Tensors {
    const at::Tensor& parameter = in[roles.parameter];
    at::Tensor gradient = in[roles.gradient];
    // The kernel walks over memory: all must lie alike.
    if (gradient.strides() != parameter.strides())
      gradient = at::empty_like(parameter).copy_(gradient);
    const auto floats = [&](size_t role) {
      return role == kNone ? nullptr : in[role].data_ptr<float>();
    };
    cuda::Update now = update;
    now.parameter = now.new_parameter = floats(roles.parameter);
    now.gradient = gradient.data_ptr<float>();
    now.momentum = now.new_momentum = floats(roles.momentum);
    now.lr = floats(roles.lr);
    now.count = parameter.numel();
    now.average = floats(roles.average);
    now.decay = floats(roles.decay);
    now.when = floats(roles.when);
    now.last = floats(roles.last);
    cuda::sgd_update(now, current_stream());
    Tensors made;
    for (const size_t role : roles.over) made.push_back(in[role]);
    return made;
  };
}

}  // namespace expgraph::libtorch
