// place_scratch: a planned graph and what each node needs while it runs -> where that lies.
#include "core/passes/place_scratch.h"

#include <algorithm>
#include <limits>

#include "core/passes/lifetimes.h"

namespace expgraph {
namespace {

constexpr int64_t kAlignment = 64;

int64_t aligned(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

/// A value in the arena, and when it is alive: both ends included.
struct Alive {
  int64_t offset, end;
  int32_t first, last;
};

/// By offset.
std::vector<Alive> values_in_arena(const Graph& graph, const MemoryPlan& plan) {
  const std::vector<int32_t> last = last_reads(graph);
  std::vector<Alive> found;
  for (size_t v = 0; v < plan.placements.size(); ++v) {
    const Placement& place = plan.placements[v];
    if (place.kind != Placement::Kind::arena) continue;
    const ValueId value{static_cast<int32_t>(v)};
    const int32_t made = graph.value(value).producer.index;
    found.push_back(
        {place.offset, place.offset + graph.type(value).bytes(), made, std::max(made, last[v])});
  }
  std::ranges::sort(found, {}, &Alive::offset);
  return found;
}

/// The start of the smallest gap between the values alive at `time` that has room; else past them.
int64_t best_offset(const std::vector<Alive>& values, int32_t time, int64_t bytes) {
  int64_t best = -1, best_gap = std::numeric_limits<int64_t>::max(), top = 0;
  for (const Alive& value : values) {
    if (time < value.first || value.last < time) continue;
    const int64_t gap = value.offset - top;
    if (gap >= bytes && gap < best_gap) {
      best = top;
      best_gap = gap;
    }
    top = std::max(top, aligned(value.end));
  }
  return best >= 0 ? best : top;
}

}  // namespace

NodeScratch place_scratch(const Graph& graph, const MemoryPlan& plan,
                          std::span<const int64_t> scratch) {
  const std::vector<Alive> values = values_in_arena(graph, plan);
  NodeScratch result{.bytes = plan.arena_bytes};
  for (size_t n = 0; n < scratch.size(); ++n) {
    const int64_t offset = plan.share ? best_offset(values, static_cast<int32_t>(n), scratch[n])
                                      : aligned(plan.arena_bytes);
    result.offsets.push_back(offset);
    result.bytes = std::max(result.bytes, offset + scratch[n]);
  }
  return result;
}

}  // namespace expgraph
