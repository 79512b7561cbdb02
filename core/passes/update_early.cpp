// update_early: a step -> the same with each update as soon as it may run: after what it reads is
// made and after the last reader of the old state, so that the gradient's bytes are free again. The
// gradients of all parameters never wait together for the end of the backward pass, unless the loss
// is scaled: then no update may run before all of them are seen to be finite.
#include <algorithm>
#include <map>

#include "core/ir/op_schema.h"
#include "core/passes/analysis.h"
#include "core/passes/passes.h"

namespace expgraph {
namespace {

bool is_update(const OpSchema& op) {
  return op.family == "update" || op.family == "adaptive" || op.family == "average";
}

/// By NodeId.index: nodes of optimisers and averages whose outputs reach nothing but updates of
/// states and each other.
std::vector<bool> update_nodes(const Graph& graph) {
  const std::vector<std::vector<NodeId>> readers = graph.consumers();
  std::vector<bool> is_result(graph.values().size(), false);
  for (const Result& result : graph.results()) {
    is_result[static_cast<size_t>(result.value.index)] = true;
  }
  std::vector<bool> found(graph.nodes().size(), false);
  for (size_t n = graph.nodes().size(); n-- > 0;) {
    const Node& node = graph.nodes()[n];
    found[n] = is_update(*node.op) && std::ranges::all_of(node.outputs, [&](ValueId output) {
                 const auto at = static_cast<size_t>(output.index);
                 return !is_result[at] && std::ranges::all_of(readers[at], [&](NodeId reader) {
                   return found[static_cast<size_t>(reader.index)];
                 });
               });
  }
  return found;
}

std::vector<ValueId> states_written_by(const Graph& graph, NodeId node) {
  std::vector<ValueId> states;
  for (const StateUpdate& update : graph.updates()) {
    if (graph.value(update.value).producer == node) states.push_back(update.state);
  }
  return states;
}

}  // namespace

Graph update_early(const Graph& graph) {
  const std::vector<bool> moves = update_nodes(graph);
  const std::vector<std::vector<NodeId>> readers = graph.consumers();
  const auto size = static_cast<int32_t>(graph.nodes().size());
  // The time of a node: that of the node after which it runs; a node that stays has its own index.
  std::vector<int32_t> time(graph.nodes().size());
  for (int32_t n = 0; n < size; ++n) time[static_cast<size_t>(n)] = n;
  std::multimap<int32_t, NodeId> moved;  // equal times: in the order of before
  for (int32_t n = 0; n < size; ++n) {
    if (!moves[static_cast<size_t>(n)]) continue;
    int32_t after = 0;
    const auto wait_for = [&](NodeId other) {
      after = std::max(after, time[static_cast<size_t>(other.index)]);
    };
    for (const ValueId input : graph.node({n}).inputs) {
      if (input.valid() && !graph.is_leaf(input)) wait_for(graph.value(input).producer);
    }
    for (const ValueId state : states_written_by(graph, {n})) {
      for (const NodeId reader : readers[static_cast<size_t>(state.index)]) {
        if (reader.index < n) wait_for(reader);
      }
    }
    time[static_cast<size_t>(n)] = after;
    moved.emplace(after, NodeId{n});
  }
  Rewriter rewriter(graph);
  for (int32_t n = 0; n < size; ++n) {
    if (!moves[static_cast<size_t>(n)]) rewriter.copy({n});
    for (auto [next, end] = moved.equal_range(n); next != end; ++next) rewriter.copy(next->second);
  }
  return rewriter.finish();
}

}  // namespace expgraph
