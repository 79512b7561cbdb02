// verify_plan: a graph and a memory plan -> nothing, or a std::logic_error. Runs through the nodes
// with the set of values that are still to be read, and checks each write against it.
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "core/passes/analysis.h"
#include "core/passes/lifetimes.h"
#include "core/passes/plan_memory.h"

namespace expgraph {
namespace {

size_t at(ValueId value) { return static_cast<size_t>(value.index); }

class PlanVerifier {
 public:
  PlanVerifier(const Graph& graph, const MemoryPlan& plan)
      : graph_(graph), plan_(plan), last_(last_reads(graph)) {
    if (plan.placements.size() != graph.values().size()) {
      throw std::logic_error(fmt::format("memory plan has {} placements for {} values",
                                         plan.placements.size(), graph.values().size()));
    }
  }

  void run() {
    for (const Leaf& leaf : graph_.leaves()) begin(leaf);
    for (size_t n = 0; n < graph_.nodes().size(); ++n) step(static_cast<int32_t>(n));
    finish();
  }

 private:
  const Placement& place(ValueId value) const { return plan_.placements[at(value)]; }

  [[noreturn]] void fail(ValueId value, std::string_view what) const {
    throw std::logic_error(fmt::format("memory plan: '{}' {}", name(value), what));
  }

  std::string name(ValueId value) const {
    if (graph_.is_leaf(value)) return graph_.leaf(value).name;
    const Value& made = graph_.value(value);
    return fmt::format("{}:{}", graph_.node(made.producer).path, made.output);
  }

  void begin(const Leaf& leaf) {
    const auto kind =
        leaf.kind == LeafKind::state ? Placement::Kind::state : Placement::Kind::binding;
    if (place(leaf.value).kind != kind || place(leaf.value).leaf != leaf.value) {
      fail(leaf.value, "does not lie in its own memory");
    }
    if (last_[at(leaf.value)] >= 0) alive_.push_back(leaf.value);
  }

  bool overlap(ValueId a, ValueId b) const {
    const Placement &x = place(a), &y = place(b);
    if (x.kind != y.kind) return false;
    if (x.kind != Placement::Kind::arena) return x.leaf == y.leaf;
    return x.offset < y.offset + graph_.type(b).bytes() &&
           y.offset < x.offset + graph_.type(a).bytes();
  }

  void step(int32_t n) {
    const Node& node = graph_.node({n});
    for (const ValueId output : node.outputs) check_place(output);
    for (const ValueId output : node.outputs) {
      if (place(output).kind == Placement::Kind::none) continue;
      for (const ValueId other : alive_) {
        if (overlap(output, other) && !(last_[at(other)] == n && in_place(node, other, output))) {
          fail(output, fmt::format("is written over '{}', which is read later", name(other)));
        }
      }
    }
    std::erase_if(alive_, [&](ValueId value) { return last_[at(value)] <= n; });
    for (const ValueId output : node.outputs) {
      if (place(output).kind == Placement::Kind::none) continue;
      for (const ValueId other : node.outputs) {
        if (other < output && place(other).kind != Placement::Kind::none &&
            overlap(output, other)) {
          fail(output, fmt::format("is written over '{}', made by the same node", name(other)));
        }
      }
      if (last_[at(output)] > n) alive_.push_back(output);
    }
  }

  void check_place(ValueId value) const {
    const Placement& here = place(value);
    switch (here.kind) {
      case Placement::Kind::none:
        if (last_[at(value)] >= 0) fail(value, "is read but lies nowhere");
        break;
      case Placement::Kind::arena:
        if (here.offset < 0 || here.offset + graph_.type(value).bytes() > plan_.arena_bytes) {
          fail(value, "lies outside of the arena");
        }
        break;
      case Placement::Kind::state:
        if (graph_.type(here.leaf) != graph_.type(value)) {
          fail(value, fmt::format("lies in '{}' of another type", name(here.leaf)));
        }
        if (!std::ranges::any_of(graph_.updates(), [&](const StateUpdate& update) {
              return update.state == here.leaf && update.value == value;
            })) {
          fail(value, fmt::format("lies in '{}', which it does not update", name(here.leaf)));
        }
        break;
      case Placement::Kind::binding:
        fail(value, "lies in the caller's memory");
    }
  }

  /// Whether the node may write `output` over its input `over`.
  bool in_place(const Node& node, ValueId over, ValueId output) const {
    const bool same_bytes = graph_.type(over).bytes() == graph_.type(output).bytes() &&
                            place(over).offset == place(output).offset;
    return same_bytes && std::ranges::count(node.inputs, over) == 1 &&
           std::ranges::any_of(in_place_pairs(node), [&](const InPlace& pair) {
             return node.inputs[static_cast<size_t>(pair.input)] == over &&
                    node.outputs[static_cast<size_t>(pair.output)] == output;
           });
  }

  /// Every update has happened or is copied, and no copy reads a state that another one overwrote.
  void finish() const {
    std::vector<ValueId> written;
    for (const StateUpdate& copy : plan_.copies) {
      for (const ValueId state : written) {
        if (overlap(copy.value, state)) {
          fail(state, fmt::format("is overwritten before '{}' is copied", name(copy.value)));
        }
      }
      written.push_back(copy.state);
    }
    for (const StateUpdate& update : graph_.updates()) {
      const bool is_copied = std::ranges::any_of(plan_.copies, [&](const StateUpdate& copy) {
        return copy.state == update.state && copy.value == update.value;
      });
      const Placement& here = place(update.value);
      const bool is_there = here.kind == Placement::Kind::state && here.leaf == update.state;
      if (is_copied == is_there) {
        fail(update.state, is_there ? "is copied onto itself" : "is not updated");
      }
    }
  }

  const Graph& graph_;
  const MemoryPlan& plan_;
  std::vector<int32_t> last_;
  std::vector<ValueId> alive_;  // values to be read by this node or later
};

}  // namespace

void verify_plan(const Graph& graph, const MemoryPlan& plan) { PlanVerifier(graph, plan).run(); }

}  // namespace expgraph
