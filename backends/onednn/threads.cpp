// threads: how many threads a program runs on, and on which cores.
#include "backends/onednn/threads.h"

#include <fmt/format.h>
#include <omp.h>
#include <pthread.h>
#include <sched.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <vector>

namespace expgraph::onednn {

namespace {

/// The first logical processor of each physical core that this process may use.
std::vector<int> find_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return {0};
  std::vector<int> cores;
  std::set<std::string> seen;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    std::ifstream file(
        fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", cpu));
    std::string siblings;
    if (!std::getline(file, siblings)) siblings = std::to_string(cpu);
    if (seen.insert(siblings).second) cores.push_back(cpu);
  }
  return cores;
}

const std::vector<int>& cores() {
  static const std::vector<int> found = find_cores();
  return found;
}

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
      CPU_SET(cores()[static_cast<size_t>(thread)], &core);
      pthread_setaffinity_np(pthread_self(), sizeof core, &core);
    }
  }
}

}  // namespace

int available_threads() { return static_cast<int>(cores().size()); }

void use_threads(int threads) {
  omp_set_num_threads(threads);
  static const bool binds = !user_binds();
  thread_local int bound = 1;
  if (!binds || threads <= bound || threads > available_threads()) return;
  bind_workers(threads);
  bound = threads;
}

}  // namespace expgraph::onednn
