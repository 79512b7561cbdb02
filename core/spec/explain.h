// explain: an attribute of a flat spec -> the lines, parameters and edits that gave it its value.
#pragma once

#include <string>

#include "core/spec/graph_spec.h"

namespace expgraph {

/// "FILE:LINE:COLUMN: TEXT" for what set the attribute last, indented below it the parameters that
/// it read, each with who gave it; then, for each edit that came before, the same.
std::string explain(const AttributeSpec& attribute);

/// The chain of blocks that a node came through, innermost first: "in block 'conv', used at ...".
std::string explain_chain(const SpecNode& node);

}  // namespace expgraph
