// drops: a step and values that it does not keep -> how it makes them again, what that takes, and
// the bytes that are alive over time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "core/ir/graph.h"
#include "core/passes/chains.h"

namespace expgraph {

/// A value is not kept after its read at node `from` and made again before its read at node `to`.
struct Drop {
  int32_t from = 0;
  int32_t to = 0;
  bool deep = false;  ///< what it is made from is made again too, rather than waiting for it
};
using Drops = std::map<ValueId, Drop>;  // in the order in which the values are made

/// What the path of a node that runs again ends with.
inline constexpr std::string_view kAgain = "/recompute";

/// How a dropped value is made again.
struct Recipe {
  std::vector<NodeId> nodes;    ///< to be run again, in order
  std::vector<ValueId> temps;   ///< made on the way and materialised, beside the value itself
  std::vector<ValueId> inputs;  ///< read, and so alive until then
};

/// The operator that makes output 0 of the node again: that of its record, else its own.
const OpSchema& op_again(const Node& node);

/// What that operator reads, by name the node's outputs or inputs.
std::vector<ValueId> inputs_again(const Node& node);

/// Whether two values of a graph are one, or one made again (also as part of fusions): they have
/// the same bits.
bool same_bits(const Graph& graph, ValueId a, ValueId b);

/// How near to the plan.
enum class Estimate {
  rough,  ///< what is made on the way to a value stays until that is read; nodes run one by one
  close,  ///< it stays until it is used; chains run as one, so all that they read is there then
};

/// The bytes of a step's arena over time and what drops make of them, as far as lifetimes tell.
/// Slot 2n is the time in which what node n reads is made again, slot 2n + 1 that of node n itself.
class Profile {
 public:
  Profile(const Graph& graph, const Target& target, Estimate estimate);

  /// Bytes that are alive, by slot.
  std::vector<int64_t> bytes(const Drops& drops) const;
  int64_t peak(const Drops& drops) const;

  /// Values that may be dropped at a slot, largest first: cheap ones, which are made again in about
  /// the time that writing and reading them takes, or all.
  std::vector<std::pair<ValueId, Drop>> candidates(size_t slot, const Drops& drops,
                                                   bool cheap_ones) const;

  int64_t size(ValueId value) const { return graph_.type(value).bytes(); }
  /// All that a recipe reads and does not make.
  int64_t bytes_read(const Recipe& recipe) const;

  /// Operations to make a dropped value again.
  int64_t flops_again(ValueId value, const Drops& drops) const;
  int64_t flops_again(const Drops& drops) const;  ///< all of them
  int64_t flops() const { return all_flops_; }    ///< of the step without drops

  /// None where something on the way can neither wait nor be made again.
  std::optional<Recipe> recipe_of(ValueId value, const Drops& drops) const;
  bool can_make(const Drops& drops) const;  ///< whether all have a recipe

 private:
  int64_t flops_of(NodeId node) const { return flops_[static_cast<size_t>(node.index)]; }
  void run_as_one(const Chain& chain);
  bool is_made(ValueId value) const;
  bool is_cheap(ValueId value) const;
  bool is_alive(ValueId value, int32_t time, const Drops& drops) const;
  int64_t bytes_while_made(ValueId value, const Recipe& recipe) const;
  bool collect(ValueId value, ValueId goal, const Drops& drops, Recipe& recipe,
               std::set<ValueId>& made) const;

  const Graph& graph_;
  Estimate estimate_;
  std::vector<bool> kept_;       // by value, as all of these
  std::vector<bool> elsewhere_;  // inside of a fusion or in a state: not in the arena
  std::vector<bool> in_state_;
  std::vector<std::vector<int32_t>> reads_;  // nodes, in order
  std::vector<int32_t> last_;                // time of the last read
  std::vector<int32_t> times_;               // by node: when it runs
  std::vector<int64_t> base_;                // by slot
  std::vector<int64_t> flops_;               // by node
  int64_t all_flops_ = 1;
};

}  // namespace expgraph
