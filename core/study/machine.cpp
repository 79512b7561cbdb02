// machine: where a run happens -> a description for its records.
#include "core/study/machine.h"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>
#include <thread>

namespace expgraph {
namespace {

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    const size_t start = line.find_first_not_of(" \t", line.find(':') + 1);
    if (start != std::string::npos) return line.substr(start);
  }
  return "unknown processor";
}

unsigned cores() { return std::thread::hardware_concurrency(); }

}  // namespace

std::string machine_name() { return fmt::format("{}, {} cores", cpu_model(), cores()); }

int64_t machine_memory() { return int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGE_SIZE); }

std::vector<std::pair<std::string, std::string>> machine_facts() {
  utsname system{};
  uname(&system);
  return {{"cpu", cpu_model()},
          {"cores", fmt::format("{}", cores())},
          {"memory", fmt::format("{:.1f} GiB", double(machine_memory()) * 0x1p-30)},
          {"system", fmt::format("{} {}", system.sysname, system.release)},
          {"compiler", fmt::format("g++ {}", __VERSION__)}};
}

}  // namespace expgraph
