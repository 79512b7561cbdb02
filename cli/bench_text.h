// bench_text: what bench has measured -> the words, tables and JSON that it prints or writes.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "core/bench.h"

namespace expgraph {

std::string bench_text(const BenchResult& result);
nlohmann::ordered_json bench_json(const BenchResult& result);

/// A row for each node, slowest first.
std::string nodes_text(const BenchResult& result);

}  // namespace expgraph
