// rewriter: a graph -> a new graph, node by node, with every value's new id.
#include "core/passes/passes.h"

namespace expgraph {

Rewriter::Rewriter(const Graph& from, const Rename& rename)
    : from_(from), to_(from.name()), map_(from.values().size()) {
  for (Leaf leaf : from.leaves()) {
    if (rename) leaf.name = rename(leaf.name);
    const ValueId old = leaf.value;
    set(old, to_.add_leaf(std::move(leaf), from.type(old)));
  }
}

NodeId Rewriter::copy(NodeId old) {
  const Node& node = from_.node(old);
  std::vector<ValueId> inputs;
  for (const ValueId input : node.inputs) {
    inputs.push_back(input.valid() ? map(input) : ValueId());
    EXPGRAPH_CHECK(inputs.back().valid() == input.valid());
  }
  const NodeId now =
      to_.add_node(*node.op, node.attributes, std::move(inputs), node.path, node.where, node.body);
  for (size_t k = 0; k < node.outputs.size(); ++k) {
    set(node.outputs[k], to_.output(now, static_cast<int>(k)));
  }
  return now;
}

Graph Rewriter::finish() {
  for (const Result& result : from_.results()) to_.add_result(result.name, map(result.value));
  for (const StateUpdate& update : from_.updates()) {
    to_.add_update(map(update.state), map(update.value));
  }
  return std::move(to_);
}

}  // namespace expgraph
