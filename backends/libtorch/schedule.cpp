// schedule: Graph and MemoryPlan -> the order in which its nodes run.
#include "backends/libtorch/schedule.h"

#include <algorithm>
#include <set>

namespace expgraph::libtorch {

namespace {

size_t at(ValueId value) { return static_cast<size_t>(value.index); }

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
  const auto make_ready = [&](size_t g) { ready.emplace(std::ranges::max(groups[g]).index, g); };
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

std::vector<Group> schedule(const Graph& graph, const MemoryPlan& plan) {
  std::vector<Group> single;
  for (size_t n = 0; n < graph.nodes().size(); ++n) single.push_back({{static_cast<int32_t>(n)}});
  std::vector<Group> order = sorted(graph, plan, group_updates(graph, plan));
  return order.empty() ? single : order;
}

}  // namespace expgraph::libtorch
