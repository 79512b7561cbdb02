// profile_files: a benched step -> texts for files: its nodes as a table, as JSON, as a trace.
#pragma once

#include <string>

#include "core/bench.h"

namespace expgraph {

/// A node's figures over the mean of the profiled steps; 0 where a node takes no time.
struct NodeRates {
  double gflops = 0, gbytes = 0;  ///< billions of operations, of bytes a second
  double share = 0;               ///< of the time of all nodes
  double of_roof = 0;             ///< least time by the measured peaks, over the time it takes
};
NodeRates rates_of(const BenchResult& result, const TimedNode& node);

/// Nodes, slowest first, with what the peaks are and how they were measured. `machine` says where.
std::string profile_json(const BenchResult& result, const std::string& machine);

/// One step of the profile in Chrome's trace event format, which Perfetto and chrome://tracing
/// open: a complete event for the step and one for each of its nodes, in microseconds.
std::string trace_json(const BenchResult& result);

/// Nodes by their time, slowest first.
std::vector<const TimedNode*> slowest_first(const BenchResult& result);

}  // namespace expgraph
