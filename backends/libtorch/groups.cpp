// groups: Graph and MemoryPlan -> its nodes, elementwise updates of many parameters together.
#include "backends/libtorch/groups.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "backends/libtorch/kernels.h"

namespace expgraph::libtorch {

namespace {

bool reads(const Node& node, ValueId value) {
  return std::ranges::find(node.inputs, value) != node.inputs.end();
}

bool is_elementwise_update(const Node& node) {
  if (node.body) return std::ranges::all_of(node.body->nodes(), is_elementwise_update);
  const Maker* maker = find_maker(node.op->name);
  return maker != nullptr && maker->elementwise_update;
}

/// Operator and attributes; of a fusion those of its body, and what reads what.
std::string what_it_does(const Node& node) {
  std::string text = std::string(node.op->name) + to_text(node.attributes);
  if (!node.body) return text;
  for (const Node& member : node.body->nodes()) {
    text += "; " + what_it_does(member);
    for (const ValueId input : member.inputs) text += fmt::format(" %{}", input.index);
  }
  return text;
}

/// What two nodes have in common that may run as one, but for where their states lie; "" for a node
/// that runs alone.
std::string key_of(const Graph& graph, const MemoryPlan& plan, const Node& node) {
  const TensorType& parameter = graph.type(node.outputs[0]);
  if (parameter.rank() == 0 || !is_elementwise_update(node)) return "";
  std::string key = what_it_does(node);
  for (const ValueId input : node.inputs) {
    if (!input.valid()) {
      key += " -";
    } else if (graph.type(input).shape == parameter.shape) {
      const bool state = state_of(plan, input).valid();
      key += fmt::format(" {}:{}", state ? "state" : "value", to_string(graph.type(input).dtype));
    } else if (graph.type(input).rank() == 0) {
      key += fmt::format(" #{}", input.index);
    } else {
      return "";
    }
  }
  for (const ValueId output : node.outputs) {
    const ValueId state = state_of(plan, output);
    if (!state.valid()) return "";
    if (!reads(node, state)) key += " >";
  }
  return key;
}

/// The states that a node with a key has, by port: as an input, or after the inputs as an output
/// that is not written over one of them.
std::map<size_t, ValueId> states_of(const Graph& graph, const MemoryPlan& plan, const Node& node) {
  std::map<size_t, ValueId> states;
  const size_t inputs = node.inputs.size();
  for (size_t port = 0; port < inputs + node.outputs.size(); ++port) {
    const ValueId value = port < inputs ? node.inputs[port] : node.outputs[port - inputs];
    if (!value.valid() || graph.type(value).shape != graph.type(node.outputs[0]).shape) continue;
    const ValueId state = state_of(plan, value);
    if (state.valid() && (port < inputs || !reads(node, state))) states[port] = state;
  }
  return states;
}

/// A node with a key, and its states.
struct Update {
  NodeId node;
  std::string key;
  std::map<size_t, ValueId> states;
};

/// Per update the first state of those that updates connect, of a parameter's the parameter: in
/// that order they and their states lie in every group.
std::vector<ValueId> owners(const std::vector<Update>& updates) {
  std::map<ValueId, ValueId> owner;
  std::vector<ValueId> found(updates.size());
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t u = 0; u < updates.size(); ++u) {
      for (const auto& [port, state] : updates[u].states) {
        const ValueId own = owner.try_emplace(state, state).first->second;
        found[u] = found[u].valid() ? std::min(found[u], own) : own;
      }
      for (const auto& [port, state] : updates[u].states)
        changed |= std::exchange(owner[state], found[u]) != found[u];
    }
  }
  return found;
}

/// The group of each update by a number. The states that a group has at one of its ports lie end to
/// end, so all of them are at the same ports of the same other groups: groups are split until that
/// is so.
std::vector<size_t> split(const std::vector<Update>& updates) {
  using Places = std::set<std::pair<size_t, size_t>>;  // groups and their ports
  std::vector<size_t> group(updates.size(), 0);
  for (size_t count = 0;;) {
    std::map<ValueId, Places> places;
    for (size_t u = 0; u < updates.size(); ++u)
      for (const auto& [port, state] : updates[u].states) places[state].emplace(group[u], port);
    std::map<std::tuple<std::string, size_t, std::vector<Places>>, size_t> numbers;
    for (size_t u = 0; u < updates.size(); ++u) {
      std::vector<Places> same;
      for (const auto& [port, state] : updates[u].states) same.push_back(places[state]);
      group[u] =
          numbers.try_emplace({updates[u].key, group[u], same}, numbers.size()).first->second;
    }
    if (numbers.size() == count) return group;
    count = numbers.size();
  }
}

}  // namespace

ValueId state_of(const MemoryPlan& plan, ValueId value) {
  const Placement& place = plan.placements[static_cast<size_t>(value.index)];
  return place.kind == Placement::Kind::state ? place.leaf : ValueId{};
}

std::vector<Group> group_updates(const Graph& graph, const MemoryPlan& plan) {
  std::vector<Group> groups;
  std::vector<Update> updates;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const NodeId id{static_cast<int32_t>(n)};
    const std::string key = key_of(graph, plan, graph.node(id));
    if (key.empty())
      groups.push_back({id});
    else
      updates.push_back({id, key, states_of(graph, plan, graph.node(id))});
  }
  const std::vector<ValueId> owner = owners(updates);
  const std::vector<size_t> number = split(updates);
  std::map<size_t, std::map<ValueId, Group>> together;
  for (size_t u = 0; u < updates.size(); ++u)
    together[number[u]][owner[u]].push_back(updates[u].node);
  for (const auto& [group, nodes_of] : together) {
    const bool one_each =
        std::ranges::all_of(nodes_of, [](const auto& entry) { return entry.second.size() == 1; });
    if (one_each) groups.emplace_back();
    for (const auto& [state, nodes] : nodes_of)
      for (const NodeId node : nodes)
        one_each ? groups.back().push_back(node) : groups.push_back({node});
  }
  return groups;
}

}  // namespace expgraph::libtorch
