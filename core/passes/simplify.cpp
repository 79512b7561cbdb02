// simplify: a graph -> one that computes the same with fewer, cheaper nodes. Rules, applied until
// none holds; all exact but the one that says otherwise:
//   concat(x)                         -> x
//   scale(x, 1), cast to x's type     -> x
//   scale(scale(x, a), b)             -> scale(x, a * b)          rounds once instead of twice
//   reshape or flatten to x's type    -> x
//   reshape or flatten of another     -> one reshape
//   max_pool(relu(x))                 -> relu(max_pool(x))        when nobody else reads either
//                                        relu's output or the pool's index: fewer elements
//   two equal nodes                   -> the first
//   a node nobody needs               -> nothing
#include <algorithm>
#include <map>

#include "core/passes/analysis.h"
#include "core/passes/passes.h"

namespace expgraph {
namespace {

/// One round over a graph: each rule looks at the nodes of `from_` and writes with the rewriter.
class Round {
 public:
  Round(const Graph& from, std::span<const ValueId> followed)
      : from_(from),
        rewriter_(from),
        live_(live_nodes(from, followed)),
        readers_(from.values().size(), 0) {
    for (size_t n = 0; n < from.nodes().size(); ++n) {
      if (!live_[n]) continue;
      for (const ValueId input : from.nodes()[n].inputs) {
        if (input.valid()) ++readers(input);
      }
    }
    for (const Result& result : from.results()) ++readers(result.value);
    for (const StateUpdate& update : from.updates()) ++readers(update.value);
    for (const ValueId value : followed) ++readers(value);
  }

  /// Whether a rule held.
  bool run() {
    for (size_t n = 0; n < from_.nodes().size(); ++n) {
      const NodeId id{static_cast<int32_t>(n)};
      const Node& node = from_.node(id);
      if (!live_[n]) {
        changed_ = true;
      } else if (const ValueId same = same_as(node); same.valid()) {
        rewriter_.set(node.outputs[0], rewriter_.map(same));
        changed_ = true;
      } else if (merge_scales(node) || merge_reshapes(node) || pool_before_relu(node)) {
        changed_ = true;
      } else {
        copy_or_reuse(id);
      }
    }
    return changed_;
  }

  ValueId map(ValueId value) const { return rewriter_.map(value); }
  Graph finish() { return rewriter_.finish(); }

 private:
  int& readers(ValueId value) { return readers_[static_cast<size_t>(value.index)]; }

  const Node* producer(ValueId value) const {
    return from_.is_leaf(value) ? nullptr : &from_.node(from_.value(value).producer);
  }
  static bool is(const Node* node, std::string_view name) {
    return node != nullptr && node->op->name == name;
  }
  static bool keeps_bytes(const Node* node) { return is(node, "reshape") || is(node, "flatten"); }

  void replace(ValueId old, const Node& node, std::string_view name, ValueId input,
               Attributes attributes) {
    Graph& graph = rewriter_.graph();
    rewriter_.set(old, graph.output(graph.add_node(op(name), std::move(attributes), {input},
                                                   node.path, node.where)));
  }

  /// The input that the node only hands on; invalid when it does more.
  ValueId same_as(const Node& node) const {
    const bool same = (is(&node, "concat") && node.inputs.size() == 1) ||
                      (is(&node, "scale") && node.attributes.real("factor") == 1) ||
                      ((keeps_bytes(&node) || is(&node, "cast")) &&
                       from_.type(node.outputs[0]) == from_.type(node.inputs[0]));
    return same ? node.inputs[0] : ValueId();
  }

  bool merge_scales(const Node& node) {
    if (!is(&node, "scale")) return false;
    const Node* inner = producer(node.inputs[0]);
    if (!is(inner, "scale")) return false;
    Attributes attributes = node.attributes;
    attributes.set("factor", inner->attributes.real("factor") * node.attributes.real("factor"));
    replace(node.outputs[0], node, "scale", map(inner->inputs[0]), std::move(attributes));
    return true;
  }

  bool merge_reshapes(const Node& node) {
    if (!keeps_bytes(&node)) return false;
    const Node* inner = producer(node.inputs[0]);
    if (!keeps_bytes(inner)) return false;
    Attributes attributes;
    attributes.set("shape", from_.type(node.outputs[0]).shape);
    replace(node.outputs[0], node, "reshape", map(inner->inputs[0]), std::move(attributes));
    return true;
  }

  bool pool_before_relu(const Node& pool) {
    if (!is(&pool, "max_pool") || readers(pool.outputs[1]) > 0) return false;
    const Node* relu = producer(pool.inputs[0]);
    if (!is(relu, "relu") || readers(pool.inputs[0]) != 1) return false;
    replace(pool.outputs[0], pool, "max_pool", map(relu->inputs[0]), pool.attributes);
    replace(pool.outputs[0], *relu, "relu", map(pool.outputs[0]), relu->attributes);
    return true;
  }

  void copy_or_reuse(NodeId id) {
    const Node& node = from_.node(id);
    std::vector<ValueId> inputs;
    for (const ValueId input : node.inputs) inputs.push_back(input.valid() ? map(input) : input);
    std::vector<NodeId>& alike = made_[{node.op, inputs}];
    for (const NodeId candidate : alike) {
      const Node& made = rewriter_.graph().node(candidate);
      if (made.attributes != node.attributes || made.body != node.body) continue;
      for (size_t k = 0; k < node.outputs.size(); ++k) {
        rewriter_.set(node.outputs[k], made.outputs[k]);
      }
      changed_ = true;
      return;
    }
    alike.push_back(rewriter_.copy(id));
  }

  const Graph& from_;
  Rewriter rewriter_;
  std::vector<bool> live_;
  std::vector<int> readers_;  // by value: inputs of live nodes, results, updates, followed
  std::map<std::pair<const OpSchema*, std::vector<ValueId>>, std::vector<NodeId>> made_;
  bool changed_ = false;
};

}  // namespace

Graph simplify(const Graph& graph, std::span<ValueId> followed) {
  Graph now = graph;
  for (bool changed = true; changed;) {
    Round round(now, followed);
    changed = round.run();
    for (ValueId& value : followed) value = round.map(value);
    now = round.finish();
  }
  return now;
}

}  // namespace expgraph
