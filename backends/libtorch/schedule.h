// schedule: Graph and MemoryPlan -> the order in which its nodes run.
#pragma once

#include "backends/libtorch/groups.h"

namespace expgraph::libtorch {

/// All nodes, each after those whose values it reads; a state is written after the last reader of
/// its old value.
std::vector<Group> schedule(const Graph& graph, const MemoryPlan& plan);

}  // namespace expgraph::libtorch
