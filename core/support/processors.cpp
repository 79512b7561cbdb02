// processors: what of the machine this process may use.
#include "core/support/processors.h"

#include <fmt/format.h>
#include <sched.h>

#include <fstream>
#include <set>
#include <string>

namespace expgraph {
namespace {

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

}  // namespace

const std::vector<int>& usable_cores() {
  static const std::vector<int> found = find_cores();
  return found;
}

int default_threads() { return static_cast<int>(usable_cores().size()); }

}  // namespace expgraph
