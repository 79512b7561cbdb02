// process: this process, as the kernel sees it -> its memory and its age.
#include "core/support/process.h"

#include <unistd.h>

#include <ctime>
#include <fstream>
#include <sstream>
#include <string>

#include "core/support/diagnostics.h"

namespace expgraph {
namespace {

/// A line of /proc/self/status, in kB there.
int64_t status_bytes(const std::string& name) {
  std::ifstream file("/proc/self/status");
  std::string line;
  while (std::getline(file, line) && !line.starts_with(name + ":")) continue;
  EXPGRAPH_CHECK(!file.fail());
  return std::stoll(line.substr(name.size() + 1)) * 1024;
}

}  // namespace

int64_t own_bytes() { return status_bytes("RssAnon"); }

int64_t mapped_bytes() { return status_bytes("RssFile"); }

int64_t peak_resident_bytes() { return status_bytes("VmHWM"); }

double seconds_since_start() {
  std::ostringstream text;
  text << std::ifstream("/proc/self/stat").rdbuf();
  // The program's name is in brackets and may hold blanks; the start time is the 20th word after.
  std::istringstream words(text.str().substr(text.str().rfind(')') + 1));
  std::string word;
  for (int k = 0; k < 20; ++k) words >> word;
  EXPGRAPH_CHECK(!words.fail());
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  const double since_boot = double(now.tv_sec) + double(now.tv_nsec) * 1e-9;
  return since_boot - std::stod(word) / double(sysconf(_SC_CLK_TCK));
}

}  // namespace expgraph
