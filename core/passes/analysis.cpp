// analysis: what passes ask of a graph beside its nodes.
#include "core/passes/analysis.h"

#include <algorithm>

namespace expgraph {

std::vector<bool> live_nodes(const Graph& graph, std::span<const ValueId> roots) {
  std::vector<bool> live(graph.nodes().size(), false);
  const auto mark = [&](ValueId value) {
    if (!value.valid() || graph.is_leaf(value)) return;
    live[static_cast<size_t>(graph.value(value).producer.index)] = true;
  };
  for (const Result& result : graph.results()) mark(result.value);
  for (const StateUpdate& update : graph.updates()) mark(update.value);
  for (const ValueId root : roots) mark(root);
  for (size_t n = live.size(); n-- > 0;) {
    if (live[n]) std::ranges::for_each(graph.nodes()[n].inputs, mark);
  }
  return live;
}

std::vector<bool> kept_values(const Graph& graph) {
  std::vector<bool> kept(graph.values().size(), false);
  for (const Result& result : graph.results()) kept[static_cast<size_t>(result.value.index)] = true;
  for (const StateUpdate& update : graph.updates()) {
    kept[static_cast<size_t>(update.value.index)] = true;
  }
  return kept;
}

namespace {

/// The output of `node` that may be written over `value`, which it reads last; invalid: none.
ValueId written_over(const Node& node, ValueId value) {
  if (std::ranges::count(node.inputs, value) != 1) return {};
  for (const InPlace& pair : in_place_pairs(node)) {
    const auto output = static_cast<size_t>(pair.output);
    if (node.inputs[static_cast<size_t>(pair.input)] == value && output < node.outputs.size())
      return node.outputs[output];
  }
  return {};
}

std::vector<InPlace> body_in_place_pairs(const Graph& body) {
  std::vector<InPlace> pairs;
  for (size_t k = 0; k < body.leaves().size(); ++k) {
    const std::vector<ValueId> path = in_place_path(body, k);
    if (path.empty()) continue;
    for (size_t r = 0; r < body.results().size(); ++r) {
      if (body.results()[r].value != path.back()) continue;
      pairs.push_back({static_cast<int>(k), static_cast<int>(r)});
    }
  }
  return pairs;
}

bool same_value(const Graph& a, ValueId x, const Graph& b, ValueId y) {
  if (x.valid() != y.valid()) return false;
  if (!x.valid()) return true;
  return a.value(x).producer == b.value(y).producer && a.value(x).output == b.value(y).output;
}

bool same_values(const Graph& a, std::span<const ValueId> x, const Graph& b,
                 std::span<const ValueId> y) {
  return std::ranges::equal(x, y, [&](ValueId p, ValueId q) { return same_value(a, p, b, q); });
}

bool same_node(const Graph& a, const Node& x, const Graph& b, const Node& y) {
  const bool same_body = x.body == y.body || (x.body && y.body && same_graph(*x.body, *y.body));
  return x.op == y.op && x.path == y.path && x.attributes == y.attributes && same_body &&
         same_values(a, x.inputs, b, y.inputs);
}

}  // namespace

std::vector<ValueId> in_place_path(const Graph& body, size_t leaf) {
  const std::vector<std::vector<NodeId>> readers = body.consumers();
  const std::vector<bool> kept = kept_values(body);
  const auto at = [](ValueId value) { return static_cast<size_t>(value.index); };
  std::vector<ValueId> path{body.leaves()[leaf].value};
  while (!kept[at(path.back())]) {
    const std::vector<NodeId>& reading = readers[at(path.back())];
    // One kernel of the whole body may read a leaf for its second reader when it likes.
    if (reading.empty() || (path.size() == 1 && reading.size() > 1)) return {};
    const ValueId next = written_over(body.node(reading.back()), path.back());
    if (!next.valid()) return {};
    path.push_back(next);
  }
  if (path.size() == 1) return {};
  return path;
}

std::vector<InPlace> in_place_pairs(const Node& node) {
  return node.body ? body_in_place_pairs(*node.body) : node.op->in_place;
}

bool same_graph(const Graph& a, const Graph& b) {
  const auto same_leaf = [&](const Leaf& x, const Leaf& y) {
    return x.kind == y.kind && x.name == y.name && x.trainable == y.trainable &&
           x.initialiser == y.initialiser && x.choice == y.choice &&
           a.type(x.value) == b.type(y.value);
  };
  const auto same_result = [&](const Result& x, const Result& y) {
    return x.name == y.name && same_value(a, x.value, b, y.value);
  };
  const auto same_update = [&](const StateUpdate& x, const StateUpdate& y) {
    return same_value(a, x.state, b, y.state) && same_value(a, x.value, b, y.value);
  };
  return std::ranges::equal(a.leaves(), b.leaves(), same_leaf) &&
         std::ranges::equal(a.nodes(), b.nodes(),
                            [&](const Node& x, const Node& y) { return same_node(a, x, b, y); }) &&
         std::ranges::equal(a.results(), b.results(), same_result) &&
         std::ranges::equal(a.updates(), b.updates(), same_update);
}

}  // namespace expgraph
