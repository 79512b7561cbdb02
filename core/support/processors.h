// processors: what of the machine this process may use.
#pragma once

#include <vector>

namespace expgraph {

/// The first logical processor of each physical core that this process may use; at least one.
const std::vector<int>& usable_cores();

/// Threads of a program when nothing else is asked for: one a usable core.
int default_threads();

}  // namespace expgraph
