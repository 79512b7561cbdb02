// dot: Picture -> Graphviz DOT.
#pragma once

#include <string>

#include "viz/picture.h"

namespace expgraph {

/// Deterministic. Names and values are untrusted: what DOT would take as more than plain characters
/// is escaped. Nodes are named dot_id(path), clusters "cluster_" + dot_id(path).
std::string to_dot(const Picture& picture);

}  // namespace expgraph
