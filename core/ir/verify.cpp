// verify: a graph -> nothing, or a logic_error that names the first node that breaks a rule.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <stdexcept>

#include "core/ir/op_schema.h"

namespace expgraph {
namespace {

[[noreturn]] void broken(const Graph& graph, const std::string& what) {
  throw std::logic_error(fmt::format("broken graph '{}': {}", graph.name(), what));
}

bool in_range(const Graph& graph, ValueId id) {
  return id.valid() && static_cast<size_t>(id.index) < graph.values().size();
}

std::string described(const Node& node) { return fmt::format("{} '{}'", node.op->name, node.path); }

void verify_leaves(const Graph& graph) {
  std::set<std::string_view> names;
  for (size_t k = 0; k < graph.leaves().size(); ++k) {
    const Leaf& leaf = graph.leaves()[k];
    if (!names.insert(leaf.name).second) {
      broken(graph, fmt::format("two leaves are named '{}'", leaf.name));
    }
    if (!in_range(graph, leaf.value) || !graph.is_leaf(leaf.value) ||
        graph.value(leaf.value).output != static_cast<int>(k)) {
      broken(graph, fmt::format("leaf '{}' has no value of its own", leaf.name));
    }
    if (leaf.trainable && leaf.kind != LeafKind::state) {
      broken(graph, fmt::format("leaf '{}' is trainable and no state", leaf.name));
    }
    const TensorType& type = graph.type(leaf.value);
    const auto columns = static_cast<int64_t>(leaf.choice.bounds.size());
    if (leaf.kind == LeafKind::choice &&
        (type.dtype != DType::i32 || type.rank() != 2 || type.shape[1] != columns)) {
      broken(graph,
             fmt::format("choice '{}' is {} with {} bounds", leaf.name, type.str(), columns));
    }
  }
}

/// Values before `first_own` may be read: nodes are in topological order.
void verify_inputs(const Graph& graph, const Node& node, int32_t first_own) {
  const std::vector<InputSchema>& schemas = node.op->inputs;
  if (node.inputs.size() < schemas.size() ||
      (node.inputs.size() > schemas.size() && !node.op->variadic())) {
    broken(graph, fmt::format("{} has {} inputs, its operator takes {}", described(node),
                              node.inputs.size(), schemas.size()));
  }
  for (size_t k = 0; k < node.inputs.size(); ++k) {
    const ValueId input = node.inputs[k];
    const InputSchema& schema = schemas[std::min(k, schemas.size() - 1)];
    if (!input.valid() && !schema.optional) {
      broken(graph, fmt::format("{} lacks its input '{}'", described(node), schema.name));
    }
    if (!input.valid()) continue;
    if (!in_range(graph, input)) {
      broken(graph, fmt::format("{} reads %{}, which is not there", described(node), input.index));
    }
    if (input.index >= first_own) {
      broken(graph, fmt::format("{} reads %{}, which is made later", described(node), input.index));
    }
  }
}

std::vector<TensorType> infer_again(const Graph& graph, const Node& node) {
  std::vector<const TensorType*> inputs;
  for (const ValueId input : node.inputs) {
    inputs.push_back(input.valid() ? &graph.type(input) : nullptr);
  }
  try {
    if (complete_attributes(*node.op, node.attributes) != node.attributes) {
      broken(graph, fmt::format("{} has incomplete attributes", described(node)));
    }
    return node.op->infer(
        {.op = *node.op, .inputs = inputs, .attributes = node.attributes, .body = node.body.get()});
  } catch (const Error& error) {
    broken(graph, fmt::format("{}: {}", described(node), error.what()));
  }
}

void verify_node(const Graph& graph, size_t k) {
  const Node& node = graph.nodes()[k];
  if (node.op == nullptr) broken(graph, fmt::format("node '{}' has no operator", node.path));
  for (size_t j = 0; j < node.outputs.size(); ++j) {
    const ValueId output = node.outputs[j];
    if (!in_range(graph, output) || graph.value(output).producer.index != static_cast<int>(k) ||
        graph.value(output).output != static_cast<int>(j)) {
      broken(graph, fmt::format("output {} of {} is not its own", j, described(node)));
    }
  }
  const auto end = static_cast<int32_t>(graph.values().size());
  verify_inputs(graph, node, node.outputs.empty() ? end : node.outputs[0].index);
  if (node.body && !node.op->takes_body) {
    broken(graph, fmt::format("{} has a body, its operator takes none", described(node)));
  }
  const std::vector<TensorType> types = infer_again(graph, node);
  if (types.size() != node.outputs.size()) {
    broken(graph, fmt::format("{} has {} outputs, its operator gives {}", described(node),
                              node.outputs.size(), types.size()));
  }
  for (size_t j = 0; j < types.size(); ++j) {
    if (types[j] == graph.type(node.outputs[j])) continue;
    broken(graph, fmt::format("output {} of {} is {}, its operator gives {}", j, described(node),
                              graph.type(node.outputs[j]).str(), types[j].str()));
  }
  if (node.body) verify(*node.body);
}

void verify_ends(const Graph& graph) {
  std::set<std::string_view> names;
  for (const Result& result : graph.results()) {
    if (!in_range(graph, result.value)) {
      broken(graph, fmt::format("result '{}' has no value", result.name));
    }
    if (!names.insert(result.name).second) {
      broken(graph, fmt::format("two results are named '{}'", result.name));
    }
  }
  std::set<ValueId> updated;
  for (const StateUpdate& update : graph.updates()) {
    if (!in_range(graph, update.state) || !in_range(graph, update.value) ||
        !graph.is_leaf(update.state) || graph.leaf(update.state).kind != LeafKind::state) {
      broken(graph, fmt::format("update of %{}, which is no state", update.state.index));
    }
    const std::string& name = graph.leaf(update.state).name;
    if (!updated.insert(update.state).second) {
      broken(graph, fmt::format("state '{}' is updated twice", name));
    }
    if (graph.type(update.state) != graph.type(update.value)) {
      broken(graph, fmt::format("state '{}' is {}, its update {}", name,
                                graph.type(update.state).str(), graph.type(update.value).str()));
    }
  }
}

}  // namespace

void verify(const Graph& graph) {
  verify_leaves(graph);
  for (size_t k = 0; k < graph.nodes().size(); ++k) verify_node(graph, k);
  verify_ends(graph);
}

}  // namespace expgraph
