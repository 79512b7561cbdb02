// groups: Graph and MemoryPlan -> its nodes, elementwise updates of many parameters together.
#pragma once

#include <vector>

#include "core/ir/graph.h"
#include "core/passes/plan_memory.h"

namespace expgraph::libtorch {

/// The state that a value lies in: a state leaf, or an update that is written into its state.
/// Invalid when it lies in none.
ValueId state_of(const MemoryPlan& plan, ValueId value);

/// Nodes that run as one: most often one node; else elementwise updates of many parameters that are
/// alike in all but their states and gradients. The states that they have as one of their inputs
/// or outputs are a row, to lie end to end: a state is in one row alone, whichever groups have it.
using Group = std::vector<NodeId>;

/// Every node in one group.
std::vector<Group> group_updates(const Graph& graph, const MemoryPlan& plan);

}  // namespace expgraph::libtorch
