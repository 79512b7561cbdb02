// lifetimes: a graph -> the buffers its values need and when each is alive.
#pragma once

#include <cstdint>
#include <vector>

#include "core/ir/graph.h"

namespace expgraph {

/// Bytes that one value has, or several after each other, each written in place over the one
/// before. Times are node indices, both ends included; values read at the end are alive at time
/// nodes().size().
struct LiveBytes {
  int32_t first = 0;
  int32_t last = 0;
  int64_t bytes = 0;
  std::vector<ValueId> values;
};

/// Last time a value is read: by a node, or nodes().size() for results and values of updates; -1
/// when never. By ValueId.index.
std::vector<int32_t> last_reads(const Graph& graph);

/// Buffers of all values that nodes make and somebody reads, but those in `elsewhere` (by
/// ValueId.index). With share == false every value has its own, alive throughout.
std::vector<LiveBytes> buffers_of(const Graph& graph, const std::vector<bool>& elsewhere,
                                  bool share);

}  // namespace expgraph
