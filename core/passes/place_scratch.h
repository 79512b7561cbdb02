// place_scratch: a planned graph and what each node needs while it runs -> where that lies. The
// arena is as large as its busiest node needs: the others have room in it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/passes/plan_memory.h"

namespace expgraph {

struct NodeScratch {
  std::vector<int64_t> offsets;  ///< by NodeId.index, in the arena or past its end; 64-byte aligned
  int64_t bytes = 0;             ///< of the arena and what lies past its end
};

/// `scratch`: bytes a node, by NodeId.index. No node's scratch meets a value that is alive while it
/// runs, its inputs and outputs among them; with a plan that does not share, it meets none.
NodeScratch place_scratch(const Graph& graph, const MemoryPlan& plan,
                          std::span<const int64_t> scratch);

}  // namespace expgraph
