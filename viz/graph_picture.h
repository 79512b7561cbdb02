// graph_picture: a typed graph, as a stage of compilation leaves it -> Picture.
#pragma once

#include "core/ir/graph.h"
#include "viz/picture.h"

namespace expgraph {

/// Every node with its attributes, clustered by path; inputs, states, choices, results and state
/// updates are nodes of their own, edges carry types.
Picture graph_picture(const Graph& graph, std::string title);

}  // namespace expgraph
