// to_double: a graph in f32 -> the same graph in f64, so that a finite difference is not lost in
// rounding.
#include "core/ir/op_schema.h"
#include "core/passes/passes.h"

namespace expgraph {
namespace {

TensorType in_double(TensorType type) {
  if (type.dtype == DType::f32) type.dtype = DType::f64;
  return type;
}

}  // namespace

Graph to_double(const Graph& graph) {
  Graph to(graph.name());
  std::vector<ValueId> map(graph.values().size());
  const auto at = [&](ValueId value) -> ValueId& { return map[static_cast<size_t>(value.index)]; };
  for (const Leaf& leaf : graph.leaves()) {
    at(leaf.value) = to.add_leaf(leaf, in_double(graph.type(leaf.value)));
  }
  for (const Node& node : graph.nodes()) {
    Attributes attributes = node.attributes;
    const auto* dtype = attributes.find("dtype");
    if (dtype != nullptr && *dtype == AttributeValue(std::string("f32"))) {
      attributes.set("dtype", std::string("f64"));
    }
    std::vector<ValueId> inputs;
    for (const ValueId input : node.inputs) {
      inputs.push_back(input.valid() ? at(input) : ValueId());
    }
    const auto body = node.body ? std::make_shared<const Graph>(to_double(*node.body)) : nullptr;
    const NodeId now = to.add_node(*node.op, std::move(attributes), std::move(inputs), node.path,
                                   node.where, body);
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      at(node.outputs[k]) = to.output(now, static_cast<int>(k));
    }
  }
  for (const Result& result : graph.results()) to.add_result(result.name, at(result.value));
  for (const StateUpdate& update : graph.updates()) {
    to.add_update(at(update.state), at(update.value));
  }
  return to;
}

}  // namespace expgraph
