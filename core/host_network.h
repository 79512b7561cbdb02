// host_network: a network alone and the type of its input -> its typed graph, and a spec in which
// it can be drawn.
#pragma once

#include <string_view>

#include "core/ir/graph.h"
#include "core/spec/graph_spec.h"

namespace expgraph {

struct HostedNetwork {
  FlatSpec spec;  ///< the network as the group "net"; the node "input", without operator, feeds it
  Graph graph;    ///< input leaf "images", result "out"
};

/// Throws Error, as compiling a pipeline does, when the network cannot be typed.
HostedNetwork host_network(const FlatSpec& network, const TensorType& input);

/// "3x32x32" -> f32[2,3,32,32]: channels, height and width of what a network is given. Error
/// (usage) for anything else.
TensorType network_input(std::string_view text);

}  // namespace expgraph
