// norm_origin: a graph -> whether a pooled map and its index were made of a normalisation known.
#include "backends/onednn/norm_origin.h"

#include <algorithm>

#include "core/passes/drops.h"

namespace expgraph::onednn {

namespace {

/// A fusion's normalisation, max_pool and relu; the values are of the graph around it, and none
/// where the fusion hands a value to nobody.
class PoolFusion {
 public:
  /// `node` is one of these.
  static bool is(const Node& node) {
    if (node.body == nullptr || node.body->nodes().size() != 3) return false;
    const Node &norm = node.body->nodes()[0], &pool = node.body->nodes()[1],
               &relu = node.body->nodes()[2];
    return (norm.op->name == "batch_norm" || norm.op->name == "batch_norm_apply") &&
           pool.op->name == "max_pool" && pool.inputs[0] == norm.outputs[0] &&
           relu.op->name == "relu" && relu.inputs[0] == pool.outputs[0];
  }
  PoolFusion(const Graph& graph, const Node& node)
      : graph_(graph), node_(node), body_(*node.body) {}

  bool is_of(const PooledNorm& norm) const {
    const Node &own = body_.nodes()[0], &max = body_.nodes()[1];
    const bool trains = own.op->name == "batch_norm";
    const ValueId mean = trains ? own.outputs[1] : own.inputs[3];
    const ValueId inverse_std = trains ? own.outputs[2] : own.inputs[4];
    if (!same_bits(graph_, outside(own.inputs[0]), norm.x) ||
        outside(own.inputs[1]) != norm.scale || outside(mean) != norm.mean ||
        outside(inverse_std) != norm.inverse_std)
      return false;
    const PoolShape pool(max.attributes, body_.type(max.inputs[0]), body_.type(max.outputs[0]));
    return pool.tiles_exactly() && pool.window.kh == norm.pool.window.kh &&
           pool.window.kw == norm.pool.window.kw;
  }
  ValueId index() const { return outside(body_.nodes()[1].outputs[1]); }
  ValueId y() const { return outside(body_.nodes()[2].outputs[0]); }

 private:
  ValueId outside(ValueId value) const {
    if (!value.valid()) return {};
    if (body_.is_leaf(value)) return node_.inputs[static_cast<size_t>(body_.value(value).output)];
    const auto found = std::ranges::find(body_.results(), value, &Result::value);
    if (found == body_.results().end()) return {};
    return node_.outputs[static_cast<size_t>(found - body_.results().begin())];
  }

  const Graph& graph_;
  const Node& node_;
  const Graph& body_;
};

}  // namespace

bool is_pooled_norm(const Graph& graph, ValueId y, ValueId index, const PooledNorm& norm) {
  // They may come from two nodes: one in the forward pass, one that makes y again.
  const auto made = [&](ValueId value, ValueId (PoolFusion::*output)() const) {
    if (!value.valid() || graph.is_leaf(value)) return false;
    const Node& node = graph.node(graph.value(value).producer);
    if (!PoolFusion::is(node)) return false;
    const PoolFusion fusion(graph, node);
    return (fusion.*output)() == value && fusion.is_of(norm);
  };
  return made(y, &PoolFusion::y) && made(index, &PoolFusion::index);
}

}  // namespace expgraph::onednn
