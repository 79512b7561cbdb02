// plan_memory: Graph -> where each value lies. Buffers are placed largest first, each in the
// smallest gap left by those that are alive at the same time (Pisarchyk & Lee, 2020, arXiv
// 2001.03288, greedy by size).
#include "core/passes/plan_memory.h"

#include <algorithm>
#include <limits>

#include "core/passes/analysis.h"
#include "core/passes/lifetimes.h"

namespace expgraph {
namespace {

size_t at(ValueId value) { return static_cast<size_t>(value.index); }

/// Whether the producer of update.value may write it into the state: nobody reads the old value
/// later, and a producer that reads it itself can work in place.
bool fits_in_state(const Graph& graph, const StateUpdate& update,
                   const std::vector<int32_t>& last) {
  if (graph.is_leaf(update.value)) return false;
  const Value& value = graph.value(update.value);
  const int32_t last_read = last[at(update.state)];
  if (last_read != value.producer.index) return last_read < value.producer.index;
  const Node& node = graph.node(value.producer);
  return std::ranges::count(node.inputs, update.state) == 1 &&
         std::ranges::any_of(in_place_pairs(node), [&](const InPlace& pair) {
           return pair.output == value.output &&
                  node.inputs[static_cast<size_t>(pair.input)] == update.state;
         });
}

struct Placed {
  int64_t offset = 0;
  int64_t end = 0;
  const LiveBytes* buffer = nullptr;
};

/// Where `bytes` fit best between `busy`, which is sorted by offset and may overlap.
int64_t best_offset(const std::vector<const Placed*>& busy, int64_t bytes) {
  int64_t best = -1;
  int64_t best_gap = std::numeric_limits<int64_t>::max();
  int64_t top = 0;
  for (const Placed* other : busy) {
    const int64_t gap = other->offset - top;
    if (gap >= bytes && gap < best_gap) {
      best = top;
      best_gap = gap;
    }
    top = std::max(top, other->end);
  }
  return best >= 0 ? best : top;
}

/// Offsets, in the order of `buffers`.
std::vector<int64_t> place(const std::vector<LiveBytes>& buffers, int64_t alignment) {
  std::vector<size_t> order(buffers.size());
  for (size_t k = 0; k < order.size(); ++k) order[k] = k;
  std::ranges::stable_sort(order, [&](size_t a, size_t b) {
    const LiveBytes &x = buffers[a], &y = buffers[b];
    if (x.bytes != y.bytes) return x.bytes > y.bytes;
    return x.last - x.first > y.last - y.first;
  });

  std::vector<int64_t> offsets(buffers.size());
  std::vector<Placed> placed;
  placed.reserve(buffers.size());
  std::vector<const Placed*> by_offset, busy;
  for (const size_t k : order) {
    const LiveBytes& buffer = buffers[k];
    const int64_t bytes = (buffer.bytes + alignment - 1) / alignment * alignment;
    busy.clear();
    std::ranges::copy_if(by_offset, std::back_inserter(busy), [&](const Placed* other) {
      return other->buffer->first <= buffer.last && buffer.first <= other->buffer->last;
    });
    offsets[k] = best_offset(busy, bytes);
    placed.push_back({offsets[k], offsets[k] + bytes, &buffer});
    by_offset.insert(std::ranges::upper_bound(by_offset, offsets[k], {}, &Placed::offset),
                     &placed.back());
  }
  return offsets;
}

void set_offsets(const std::vector<LiveBytes>& buffers, const std::vector<int64_t>& offsets,
                 MemoryPlan& plan) {
  for (size_t k = 0; k < buffers.size(); ++k) {
    for (const ValueId value : buffers[k].values) {
      plan.placements[at(value)] = {.kind = Placement::Kind::arena, .offset = offsets[k]};
    }
    plan.arena_bytes = std::max(plan.arena_bytes, offsets[k] + buffers[k].bytes);
  }
}

}  // namespace

MemoryPlan plan_memory(const Graph& graph, const Target& target, bool share) {
  MemoryPlan plan;
  plan.share = share;
  plan.placements.resize(graph.values().size());
  for (const Leaf& leaf : graph.leaves()) {
    const bool is_state = leaf.kind == LeafKind::state;
    const int64_t bytes = graph.type(leaf.value).bytes();
    (is_state ? plan.state_bytes : plan.binding_bytes) += bytes;
    plan.placements[at(leaf.value)] = {
        .kind = is_state ? Placement::Kind::state : Placement::Kind::binding, .leaf = leaf.value};
  }

  const std::vector<int32_t> last = last_reads(graph);
  std::vector<bool> in_state(graph.values().size(), false);
  for (const StateUpdate& update : graph.updates()) {
    if (update.state == update.value) continue;
    if (share && !in_state[at(update.value)] && fits_in_state(graph, update, last)) {
      in_state[at(update.value)] = true;
      plan.placements[at(update.value)] = {.kind = Placement::Kind::state, .leaf = update.state};
    } else {
      plan.copies.push_back(update);
    }
  }

  const std::vector<LiveBytes> buffers = buffers_of(graph, in_state, share);
  set_offsets(buffers, place(buffers, target.alignment), plan);
  return plan;
}

MemoryPlan add_scratch(const Graph& graph, const MemoryPlan& plan, std::span<const int64_t> scratch,
                       int64_t alignment) {
  MemoryPlan result = plan;
  result.scratch.assign(scratch.size(), 0);
  if (!plan.share) {
    const int64_t end = (plan.arena_bytes + alignment - 1) / alignment * alignment;
    for (size_t n = 0; n < scratch.size(); ++n) {
      result.scratch[n] = end;
      result.arena_bytes = std::max(result.arena_bytes, end + scratch[n]);
    }
    return result;
  }
  std::vector<bool> elsewhere;
  for (const Placement& place : plan.placements) {
    elsewhere.push_back(place.kind != Placement::Kind::arena);
  }
  std::vector<LiveBytes> buffers = buffers_of(graph, elsewhere, true);
  const size_t values = buffers.size();
  for (size_t n = 0; n < scratch.size(); ++n) {
    const auto time = static_cast<int32_t>(n);
    if (scratch[n] > 0) buffers.push_back({.first = time, .last = time, .bytes = scratch[n]});
  }
  const std::vector<int64_t> offsets = place(buffers, alignment);
  result.arena_bytes = 0;
  set_offsets(buffers, offsets, result);
  for (size_t k = values; k < buffers.size(); ++k) {
    result.scratch[static_cast<size_t>(buffers[k].first)] = offsets[k];
  }
  return result;
}

}  // namespace expgraph
