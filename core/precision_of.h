// precision_of: what a pipeline says of the precision of its steps.
#pragma once

#include "core/passes/precision.h"
#include "core/spec/graph_spec.h"

namespace expgraph {

/// The element type in which the steps compute: `precision` of `train`, f32 when it is not given.
/// Error at its place when there is no precision of that name, or when it is still to be measured
/// (choose_precision).
DType precision_of(const FlatSpec& pipeline);

/// Whether it is `auto`.
bool is_precision_auto(const FlatSpec& pipeline);

}  // namespace expgraph
