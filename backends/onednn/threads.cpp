// threads: how many threads a program runs on, and on which cores.
#include "backends/onednn/threads.h"

#include <omp.h>
#include <pthread.h>
#include <sched.h>

#include <cstdlib>

#include "core/support/processors.h"

namespace expgraph::onednn {

namespace {

bool user_binds() {
  for (const char* name : {"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"})
    if (std::getenv(name)) return true;
  return false;
}

/// The calling thread stays free: threads that it starts later would inherit its core.
void bind_workers(int threads) {
#pragma omp parallel num_threads(threads)
  {
    const int thread = omp_get_thread_num();
    if (thread > 0) {
      cpu_set_t core;
      CPU_ZERO(&core);
      CPU_SET(usable_cores()[static_cast<size_t>(thread)], &core);
      pthread_setaffinity_np(pthread_self(), sizeof core, &core);
    }
  }
}

}  // namespace

int available_threads() { return default_threads(); }

void use_threads(int threads) {
  omp_set_num_threads(threads);
  static const bool binds = !user_binds();
  thread_local int bound = 1;
  if (!binds || threads <= bound || threads > available_threads()) return;
  bind_workers(threads);
  bound = threads;
}

}  // namespace expgraph::onednn
