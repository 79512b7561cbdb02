// optimiser: what the records of optimisers share.
#pragma once

#include <string>
#include <vector>

#include "core/ir/op_schema.h"

namespace expgraph {

/// The attributes with those that say which parameters a node means.
std::vector<AttributeSchema> with_selection(std::vector<AttributeSchema> attributes);

/// Error unless inputs 0 and 1 (loss and lr), and those after them that are there, are scalars.
void require_scalars(const InferContext& context);

/// Error unless `weight_decay` is at least 0.
void require_decay(const InferContext& context);

/// Error unless the node updates a parameter: parameter, gradient and, from input `first` on,
/// further states of its type; inputs between are scalars.
void require_step(const InferContext& context, size_t first);

}  // namespace expgraph
