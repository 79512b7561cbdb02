// plan_memory: Graph -> where each value lies. Values whose lifetimes do not meet share bytes;
// in-place operators write over their input; updates write into the state where that is safe.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/ir/graph.h"
#include "core/passes/target.h"

namespace expgraph {

struct Placement {
  enum class Kind {
    none,     ///< never materialised (an output nobody reads)
    arena,    ///< at `offset` in the arena
    state,    ///< in the state leaf `leaf` (the leaf itself, or an update written in place)
    binding,  ///< an input or choice leaf: the caller's memory
  };
  Kind kind = Kind::none;
  int64_t offset = 0;
  ValueId leaf;  ///< for state and binding
  bool operator==(const Placement&) const = default;
};

struct MemoryPlan {
  std::vector<Placement> placements;  ///< by ValueId.index
  /// Updates whose value does not lie in its state already: copied at the end, in this order.
  std::vector<StateUpdate> copies;
  std::vector<int64_t> scratch;  ///< by NodeId.index, with add_scratch: offsets in the arena
  int64_t arena_bytes = 0;
  bool share = true;          ///< whether bytes are used again once nobody reads what lies there
  int64_t state_bytes = 0;    ///< all state leaves
  int64_t binding_bytes = 0;  ///< inputs and choices
  int64_t peak_bytes() const { return arena_bytes + state_bytes + binding_bytes; }
};

/// Greedy by size (best fit over lifetimes). With share == false every value has its own bytes and
/// nothing is in place: the oracle of the tests.
MemoryPlan plan_memory(const Graph& graph, const Target& target, bool share = true);

/// The plan with room for what a backend's kernels need while they run (bytes by NodeId.index),
/// where nothing that is alive then lies. Values move. A plan that does not share keeps its offsets
/// and has the room at its end.
MemoryPlan add_scratch(const Graph& graph, const MemoryPlan& plan, std::span<const int64_t> scratch,
                       int64_t alignment);

/// Throws std::logic_error when two values that are alive at once overlap, or an in-place write
/// destroys a value that is read later.
void verify_plan(const Graph& graph, const MemoryPlan& plan);

}  // namespace expgraph
