// differentiate: a scalar of a graph -> its gradients, as nodes of the same graph. Reverse mode:
// nodes are visited from last to first, each turns the gradients of its outputs into those of its
// inputs by its operator's rule.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "core/ir/op_schema.h"
#include "core/passes/passes.h"

namespace expgraph {
namespace {

class Differentiation {
 public:
  Differentiation(Graph& graph, std::span<const ValueId> with_respect_to)
      : graph_(graph), varies_(graph.values().size(), false), terms_(graph.values().size()) {
    for (const ValueId leaf : with_respect_to) {
      EXPGRAPH_CHECK(graph.is_leaf(leaf));
      varies_[index(leaf)] = true;
    }
    for (const Node& node : graph.nodes()) {
      if (!std::ranges::any_of(node.inputs, [&](ValueId input) { return varies(input); })) continue;
      for (const ValueId output : node.outputs) varies_[index(output)] = true;
    }
  }

  void run(ValueId of, ValueId seed) {
    EXPGRAPH_CHECK(graph_.type(of).rank() == 0 && !graph_.is_leaf(of));
    if (!varies(of)) return;
    const NodeId last = graph_.value(of).producer;
    if (!seed.valid()) {
      Attributes one;
      one.set("value", 1.0);
      one.set("dtype", std::string(to_string(graph_.type(of).dtype)));
      seed = graph_.add("constant", {}, std::move(one), graph_.node(last).path + "/backward");
    }
    EXPGRAPH_CHECK(graph_.type(seed) == graph_.type(of));
    terms_[index(of)] = {seed};
    for (int32_t n = last.index; n >= 0; --n) visit(graph_.node({n}));
  }

  /// The sum of what the readers of `value` contributed, the last reader's first; invalid when none
  /// did.
  ValueId gradient(ValueId value, const std::string& path, const Location& where) {
    std::vector<ValueId>& terms = terms_[index(value)];
    if (terms.size() > 1) {
      const NodeId sum = graph_.add_node(op("add"), {}, terms, path + "/backward", where);
      terms = {graph_.output(sum)};
    }
    return terms.empty() ? ValueId() : terms[0];
  }

 private:
  static size_t index(ValueId value) { return static_cast<size_t>(value.index); }
  bool varies(ValueId value) const { return value.valid() && varies_[index(value)]; }

  // By value: the rules add nodes, which moves the graph's own.
  void visit(const Node node) {
    std::vector<ValueId> output_grads;
    bool reached = false;
    for (const ValueId output : node.outputs) {
      output_grads.push_back(gradient(output, node.path, node.where));
      reached |= output_grads.back().valid();
    }
    if (!reached) return;
    if (node.op->gradient == nullptr) {
      throw Error(fmt::format("'{}' has no gradient, and parameters reach the loss through '{}'",
                              node.op->name, node.path),
                  node.where);
    }
    const auto wanted = std::make_unique<bool[]>(node.inputs.size());
    for (size_t k = 0; k < node.inputs.size(); ++k) wanted[k] = varies(node.inputs[k]);
    const std::vector<ValueId> grads = node.op->gradient(
        {graph_, node, output_grads, std::span<const bool>(wanted.get(), node.inputs.size())});
    EXPGRAPH_CHECK(grads.size() == node.inputs.size());
    for (size_t k = 0; k < grads.size(); ++k) {
      if (!wanted[k] || !grads[k].valid()) continue;
      EXPGRAPH_CHECK(graph_.type(grads[k]) == graph_.type(node.inputs[k]));
      terms_[index(node.inputs[k])].push_back(grads[k]);
    }
  }

  Graph& graph_;
  std::vector<bool> varies_;                 // by value: depends on what we differentiate by
  std::vector<std::vector<ValueId>> terms_;  // by value: gradients that readers contributed
};

}  // namespace

std::vector<ValueId> differentiate(Graph& graph, ValueId of,
                                   std::span<const ValueId> with_respect_to, ValueId seed) {
  Differentiation differentiation(graph, with_respect_to);
  differentiation.run(of, seed);
  std::vector<ValueId> gradients;
  for (const ValueId leaf : with_respect_to) {
    const std::string name = graph.leaf(leaf).name;
    gradients.push_back(differentiation.gradient(leaf, name, {}));
  }
  return gradients;
}

}  // namespace expgraph
