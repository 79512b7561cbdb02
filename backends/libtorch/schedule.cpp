// schedule: Graph and MemoryPlan -> the order in which its nodes run, updates of many parameters as
// one.
#include "backends/libtorch/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "backends/libtorch/kernels.h"

namespace expgraph::libtorch {

namespace {

size_t at(ValueId value) { return static_cast<size_t>(value.index); }

/// What two nodes have in common that may run as one; "" for a node that runs alone.
std::string key_of(const Graph& graph, const MemoryPlan& plan, const Node& node) {
  const Maker* maker = find_maker(node.op->name);
  if (maker == nullptr || !maker->elementwise_update) return "";
  const TensorType& parameter = graph.type(node.outputs[0]);
  std::string key(node.op->name);
  for (const auto& [name, value] : node.attributes)
    key += fmt::format(" {}={}", name, to_text(value));
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
    if (!state.valid() || std::ranges::find(node.inputs, state) == node.inputs.end()) return "";
  }
  return key;
}

/// The groups in an order that obeys what they read and write; empty when there is none.
std::vector<Group> sorted(const Graph& graph, const MemoryPlan& plan, std::vector<Group> groups) {
  std::vector<size_t> group_of(graph.nodes().size());
  for (size_t g = 0; g < groups.size(); ++g)
    for (const NodeId node : groups[g]) group_of[static_cast<size_t>(node.index)] = g;
  std::vector<std::set<size_t>> before(groups.size());
  std::vector<std::vector<size_t>> after(groups.size());
  const auto readers = graph.consumers();
  const auto add = [&](NodeId first, size_t then) {
    const size_t g = group_of[static_cast<size_t>(first.index)];
    if (g != then && before[then].insert(g).second) after[g].push_back(then);
  };
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    for (const ValueId input : node.inputs)
      if (input.valid() && !graph.is_leaf(input)) add(graph.value(input).producer, group_of[n]);
    for (const ValueId output : node.outputs)
      if (const ValueId state = state_of(plan, output); state.valid())
        for (const NodeId reader : readers[at(state)]) add(reader, group_of[n]);
  }
  // A group waits for the last of its nodes; all else stays in the order of the graph.
  std::set<std::pair<int32_t, size_t>> ready;
  const auto make_ready = [&](size_t g) { ready.emplace(groups[g].back().index, g); };
  for (size_t g = 0; g < groups.size(); ++g)
    if (before[g].empty()) make_ready(g);
  std::vector<Group> order;
  while (!ready.empty()) {
    const size_t g = ready.begin()->second;
    ready.erase(ready.begin());
    order.push_back(groups[g]);
    for (const size_t next : after[g]) {
      before[next].erase(g);
      if (before[next].empty()) make_ready(next);
    }
  }
  return order.size() == groups.size() ? order : std::vector<Group>{};
}

}  // namespace

ValueId state_of(const MemoryPlan& plan, ValueId value) {
  const Placement& place = plan.placements[at(value)];
  return place.kind == Placement::Kind::state ? place.leaf : ValueId{};
}

std::vector<Group> schedule(const Graph& graph, const MemoryPlan& plan) {
  std::vector<Group> groups, single;
  std::map<std::string, size_t> alike;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const NodeId id{static_cast<int32_t>(n)};
    single.push_back({id});
    const std::string key = key_of(graph, plan, graph.node(id));
    const auto found = key.empty() ? alike.end() : alike.find(key);
    if (found != alike.end()) {
      groups[found->second].push_back(id);
      continue;
    }
    if (!key.empty()) alike[key] = groups.size();
    groups.push_back({id});
  }
  std::vector<Group> order = sorted(graph, plan, std::move(groups));
  return order.empty() ? single : order;
}

}  // namespace expgraph::libtorch
