// rounding: kernels over floats made kernels over 16-bit types.
#pragma once

#include "backends/reference/kernels.h"

namespace expgraph::reference {

/// Whether a node reads or makes a 16-bit type.
bool has_short_types(const Graph& graph, const Node& node);
/// Over a node with 16-bit types: the kernel sees floats, what it makes is rounded once.
Kernel make_rounding_kernel(const Graph& graph, const Node& node, KernelFunction kernel);

}  // namespace expgraph::reference
