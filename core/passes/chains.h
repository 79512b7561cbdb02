// chains: a graph and the patterns of a target -> which nodes are to become one.
#pragma once

#include <optional>
#include <vector>

#include "core/ir/graph.h"
#include "core/passes/target.h"

namespace expgraph {

/// Nodes that a target runs as one; each but the last feeds the next by its first output.
struct Chain {
  const FusionPattern* pattern = nullptr;
  std::vector<NodeId> members;
  std::vector<ValueId> inner;  ///< first outputs that nobody outside reads: they lie nowhere
  NodeId place;  ///< the member at whose place all can run: every input made, no output read yet
};

/// Disjoint chains, longer patterns first, ordered by place.
std::vector<Chain> find_chains(const Graph& graph, const Target& target);

/// All nodes of a graph that makes batches, where the target does that as one; nothing for any
/// other graph.
std::optional<Chain> find_feed(const Graph& graph, const Target& target);

}  // namespace expgraph
