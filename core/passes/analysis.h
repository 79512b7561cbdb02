// analysis: what passes ask of a graph beside its nodes.
#pragma once

#include <span>
#include <vector>

#include "core/ir/op_schema.h"

namespace expgraph {

/// By NodeId.index: whether a result, an update or one of `roots` depends on the node.
std::vector<bool> live_nodes(const Graph& graph, std::span<const ValueId> roots = {});

/// By ValueId.index: whether it is a result or the value of an update, so read after all nodes.
std::vector<bool> kept_values(const Graph& graph);

/// Pairs whose output may be written over the input when nobody reads that input afterwards: the
/// operator's own; of a fusion, those that chains of such pairs in its body give.
std::vector<InPlace> in_place_pairs(const Node& node);

/// Values of a fusion's body that may lie in one place, each written over the one before by that
/// one's last reader: from a leaf (by its index) to the first that is a result. Empty: none such.
std::vector<ValueId> in_place_path(const Graph& body, size_t leaf);

/// Whether two graphs have equal leaves, nodes, results and updates, however values are numbered.
bool same_graph(const Graph& a, const Graph& b);

}  // namespace expgraph
