// make_step: forward graph and optimiser -> forward, backward, update and the state updates.
// A parameter that nothing reported depends on gets no update (PyTorch leaves it alone too); one
// that a result reads but the loss does not depend on is an error, as it would never learn.
#include <fmt/format.h>

#include "core/ir/op_schema.h"
#include "core/passes/analysis.h"
#include "core/passes/passes.h"

namespace expgraph {

Graph make_step(Graph graph, const OptimiserSpec& optimiser) {
  EXPGRAPH_CHECK(optimiser.op != nullptr && optimiser.op->update != nullptr);
  const std::vector<bool> live = live_nodes(graph, {&optimiser.loss, 1});
  const std::vector<std::vector<NodeId>> readers = graph.consumers();
  std::vector<ValueId> parameters;
  for (const Leaf& leaf : graph.leaves()) {
    if (leaf.trainable) parameters.push_back(leaf.value);
  }
  const std::vector<ValueId> gradients = differentiate(graph, optimiser.loss, parameters);

  bool updated = false;
  for (size_t k = 0; k < parameters.size(); ++k) {
    const std::string name = graph.leaf(parameters[k]).name;
    if (gradients[k].valid()) {
      const std::string path = fmt::format("{}/{}", optimiser.path, name);
      optimiser.op->update({.graph = graph,
                            .attributes = optimiser.attributes,
                            .parameter = parameters[k],
                            .gradient = gradients[k],
                            .lr = optimiser.lr,
                            .path = path,
                            .where = optimiser.where});
      updated = true;
      continue;
    }
    for (const NodeId reader : readers[static_cast<size_t>(parameters[k].index)]) {
      if (!live[static_cast<size_t>(reader.index)]) continue;
      throw Error(fmt::format("parameter '{}' would never be updated: the loss of '{}' does not "
                              "depend on it",
                              name, optimiser.path),
                  optimiser.where)
          .note(fmt::format("'{}' reads it", graph.node(reader).path), graph.node(reader).where);
    }
  }
  if (!updated) {
    throw Error(
        fmt::format("'{}' has nothing to update: its loss depends on no parameter", optimiser.path),
        optimiser.where);
  }
  return graph;
}

}  // namespace expgraph
