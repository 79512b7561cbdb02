// machine: where a run happens -> a description for its records.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace expgraph {

/// "Intel(R) Xeon(R) CPU, 2 cores": runs with the same text have comparable times.
std::string machine_name();

/// Bytes of memory of the machine.
int64_t machine_memory();

/// Names and values: cpu, cores, memory, system, compiler.
std::vector<std::pair<std::string, std::string>> machine_facts();

}  // namespace expgraph
