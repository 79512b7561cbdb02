// schedule: Graph and MemoryPlan -> the order in which its nodes run, updates of many parameters as
// one.
#pragma once

#include <vector>

#include "core/ir/graph.h"
#include "core/passes/plan_memory.h"

namespace expgraph::libtorch {

/// The state that a value lies in: a state leaf, or an update that is written into its state.
/// Invalid when it lies in none.
ValueId state_of(const MemoryPlan& plan, ValueId value);

/// Nodes that run as one: most often one node; else elementwise updates of many parameters that are
/// alike in all but their states and gradients.
using Group = std::vector<NodeId>;

/// All nodes, each after those whose values it reads; a state is written after the last reader of
/// its old value.
std::vector<Group> schedule(const Graph& graph, const MemoryPlan& plan);

}  // namespace expgraph::libtorch
