// threads: how many threads a program runs on, and on which cores.
#pragma once

namespace expgraph::onednn {

/// One a physical core that this process may use.
int available_threads();

/// Makes OpenMP regions of the calling thread use `threads` threads; each but the calling one is
/// bound to a core of its own, once, unless the user binds them (OMP_PROC_BIND and the like).
void use_threads(int threads);

}  // namespace expgraph::onednn
