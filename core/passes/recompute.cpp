// recompute: a step -> one that keeps less. What is cheap to make again (op_schema: remade_by),
// read before the time of most bytes and after it but not then, is dropped in between and made
// again right before its later reader, from what is there at that time (Chen et al., 2016). The
// gradients of gelu and relu always have a batch_norm made again for them where the target runs
// both as one. With a budget, what is dear to make again is dropped too, until the plan keeps to
// it: at the time of most bytes the value that saves most bytes an operation.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "core/ir/op_schema.h"
#include "core/passes/analysis.h"
#include "core/passes/drops.h"
#include "core/passes/passes.h"
#include "core/passes/plan_memory.h"
#include "core/support/size.h"

namespace expgraph {
namespace {

size_t at(ValueId value) { return static_cast<size_t>(value.index); }

/// The first slot of most bytes.
size_t peak_slot(const std::vector<int64_t>& bytes) {
  return static_cast<size_t>(std::ranges::max_element(bytes) - bytes.begin());
}

/// What is made on the way to a dropped value and dropped itself until later is kept from then on,
/// where that does not raise the peak above `most`.
void share_temps(const Profile& profile, int64_t most, Drops& drops) {
  for (const auto& [value, drop] : Drops(drops)) {
    const std::vector<ValueId> temps = profile.recipe_of(value, drops)->temps;
    for (const ValueId temp : temps) {
      const auto own = drops.find(temp);
      if (own == drops.end() || own->second.to < drop.to) continue;
      const int32_t later = std::exchange(own->second.to, drop.to);
      if (profile.peak(drops) > most) own->second.to = later;
    }
  }
}

/// Bytes that are read to make a byte again. Pooling reads four; more takes time that no memory is
/// worth unless a budget asks for it.
constexpr int64_t kMostRead = 5;

/// At the time of most bytes the largest cheap value whose drop lowers them is dropped, until there
/// is none; then what does not save a larger share of the bytes than it adds of the work comes
/// back.
Drops choose(const Profile& profile) {
  Drops drops;
  std::vector<int64_t> bytes = profile.bytes(drops);
  const auto lower = [&] {
    const size_t slot = peak_slot(bytes);
    for (const auto& [value, drop] : profile.candidates(slot, drops, true)) {
      drops.emplace(value, drop);
      const std::optional<Recipe> recipe = profile.recipe_of(value, drops);
      if (recipe && profile.bytes_read(*recipe) <= kMostRead * profile.size(value)) {
        std::vector<int64_t> now = profile.bytes(drops);
        if (now[slot] < bytes[slot] && std::ranges::max(now) <= bytes[slot]) {
          bytes = std::move(now);
          return true;
        }
      }
      drops.erase(value);
    }
    return false;
  };
  while (lower()) {
  }
  int64_t peak = std::ranges::max(bytes);
  for (const auto& [value, drop] : Drops(drops)) {
    const double work = double(profile.flops_again(value, drops)) / double(profile.flops());
    drops.erase(value);
    const int64_t without = profile.peak(drops);
    if (double(without - peak) > work * double(peak)) {
      drops.emplace(value, drop);
    } else {
      peak = without;
    }
  }
  share_temps(profile, peak, drops);
  return drops;
}

/// What a drop is valued by at the time of most bytes: the bytes that it saves there, for each
/// operation that it adds.
enum class Saving {
  all,     ///< all of them
  needed,  ///< those above the goal
};

/// At the time of most bytes the value of the best drop is dropped, until no bytes are above `goal`
/// or no drop lowers them.
void lower(const Profile& profile, int64_t goal, Saving saving, Drops& drops) {
  std::vector<int64_t> bytes = profile.bytes(drops);
  for (;;) {
    const size_t slot = peak_slot(bytes);
    const int64_t peak = bytes[slot];
    if (peak <= goal) return;
    const int64_t floor = saving == Saving::needed ? goal : 0;
    const int64_t work = profile.flops_again(drops);
    double best = 0;
    std::optional<std::pair<ValueId, Drop>> chosen;
    for (auto [value, drop] : profile.candidates(slot, drops, false)) {
      for (const bool deep : {false, true}) {
        drop.deep = deep;
        drops[value] = drop;
        if (!profile.can_make(drops)) continue;
        const std::vector<int64_t> now = profile.bytes(drops);
        if (now[slot] >= peak || std::ranges::max(now) > peak) continue;
        const int64_t added = std::max<int64_t>(profile.flops_again(drops) - work, 1);
        const double gain = double(peak - std::max(now[slot], floor)) / double(added);
        if (gain <= best) continue;
        best = gain;
        chosen = {value, drop};
      }
      drops.erase(value);
    }
    if (!chosen) return;
    drops.insert(*chosen);
    bytes = profile.bytes(drops);
  }
}

/// What need not be dropped to stay at `most` bytes is kept after all, dearest first.
void keep_dear(const Profile& profile, int64_t most, Drops& drops) {
  std::vector<std::pair<int64_t, ValueId>> order;
  for (const auto& [value, drop] : drops) {
    order.emplace_back(profile.flops_again(value, drops), value);
  }
  std::ranges::stable_sort(order, std::ranges::greater(),
                           [](const auto& one) { return one.first; });
  for (const auto& [work, value] : order) {
    const Drop drop = drops.at(value);
    drops.erase(value);
    if (!profile.can_make(drops) || profile.peak(drops) > most) drops.emplace(value, drop);
  }
  share_temps(profile, most, drops);
}

/// Adds the node that makes output 0 of `node` again and returns that; `made` is looked at first.
ValueId add_again(const Node& node, const std::map<ValueId, ValueId>& made, Rewriter& rewriter) {
  std::vector<ValueId> inputs;
  for (const ValueId input : inputs_again(node)) {
    const auto found = made.find(input);
    if (found != made.end()) {
      inputs.push_back(found->second);
    } else {
      inputs.push_back(input.valid() ? rewriter.map(input) : input);
    }
  }
  const OpSchema& again = op_again(node);
  Attributes attributes;
  for (const AttributeSchema& attribute : again.attributes) {
    attributes.set(std::string(attribute.name), *node.attributes.find(attribute.name));
  }
  Graph& graph = rewriter.graph();
  return graph.output(graph.add_node(again, std::move(attributes), std::move(inputs),
                                     node.path + std::string(kAgain), node.where));
}

/// Adds the nodes that make the value again.
void make_again(const Graph& from, ValueId value, const Recipe& recipe, Rewriter& rewriter) {
  std::map<ValueId, ValueId> made;
  for (const NodeId id : recipe.nodes) {
    made[from.output(id)] = add_again(from.node(id), made, rewriter);
  }
  rewriter.set(value, made.at(value));
}

Graph without(const Graph& graph, const Profile& profile, const Drops& drops) {
  std::multimap<int32_t, ValueId> due;  // by the time before which the value is made again
  for (const auto& [value, drop] : drops) due.emplace(drop.to, value);
  Rewriter rewriter(graph);
  for (int32_t n = 0; n < static_cast<int32_t>(graph.nodes().size()); ++n) {
    for (auto [next, end] = due.equal_range(n); next != end; ++next) {
      make_again(graph, next->second, *profile.recipe_of(next->second, drops), rewriter);
    }
    rewriter.copy({n});
  }
  return rewriter.finish();
}

/// Whether the target runs batch_norm_apply, this gradient and batch_norm_backward as one.
bool renormalises(const Target& target, std::string_view gradient) {
  return std::ranges::any_of(target.fusions, [&](const FusionPattern& pattern) {
    return pattern.ops.size() == 3 && pattern.ops[0] == "batch_norm_apply" &&
           pattern.ops[1] == gradient && pattern.ops[2] == "batch_norm_backward";
  });
}

/// The batch_norm whose output went through this gradient's activation; null where none did or the
/// gradient goes elsewhere than to that norm's.
const Node* norm_before(const Graph& graph, const std::vector<std::vector<NodeId>>& readers,
                        NodeId gradient) {
  const Node& node = graph.node(gradient);
  const std::vector<NodeId>& next = readers[at(node.outputs[0])];
  const bool to_norm = next.size() == 1 && graph.node(next[0]).op->name == "batch_norm_backward";
  if (!to_norm || node.inputs[0] == node.inputs[1]) return nullptr;
  const auto producer = [&](ValueId value) -> const Node* {
    const bool first = !graph.is_leaf(value) && graph.value(value).output == 0;
    return first ? &graph.node(graph.value(value).producer) : nullptr;
  };
  const Node* before = producer(node.inputs[1]);
  if (before && before->op->name == "relu") before = producer(before->inputs[0]);
  const bool is_norm = before && before->op->name == "batch_norm" &&
                       before->inputs[0] == graph.node(next[0]).inputs[1];
  return is_norm ? before : nullptr;
}

/// Where gelu_backward reads what a batch_norm made, or relu_backward what relu made of that, it
/// reads a batch_norm_apply of its own, if the target runs the chain as one: nothing waits for it
/// but the norm's input, which waits anyway, and one map less is read. (relu's slope follows from
/// its input as from its output.)
Graph renormalise(const Graph& graph, const Target& target) {
  const std::vector<std::vector<NodeId>> readers = graph.consumers();
  const std::vector<bool> kept = kept_values(graph);
  Rewriter rewriter(graph);
  for (int32_t n = 0; n < static_cast<int32_t>(graph.nodes().size()); ++n) {
    const Node& node = graph.node({n});
    const bool is_gradient = node.op->name == "gelu_backward" || node.op->name == "relu_backward";
    const Node* norm =
        is_gradient && !kept[at(node.outputs[0])] && renormalises(target, node.op->name)
            ? norm_before(graph, readers, {n})
            : nullptr;
    if (norm == nullptr) {
      rewriter.copy({n});
      continue;
    }
    const ValueId of = node.inputs[1], before = rewriter.map(of);
    rewriter.set(of, add_again(*norm, {}, rewriter));
    rewriter.copy({n});
    rewriter.set(of, before);
  }
  return rewriter.finish();
}

/// What the passes after this one and the planner make of a step.
MemoryPlan planned(const Graph& graph, const Target& target) {
  const Graph fused = fuse(graph, target);
  return plan_memory(target.update_early ? update_early(fused) : fused, target);
}

/// A step whose plan is above its budget.
class BudgetedStep {
 public:
  BudgetedStep(const Graph& graph, const Profile& profile, const Target& target,
               const MemoryBudget& budget, const Drops& usual)
      : graph_(graph), profile_(profile), target_(target), budget_(budget), usual_(usual) {}

  /// `fixed`: bytes of the plan that no drop lowers.
  Drops find(int64_t fixed) const {
    if (fixed > budget_.bytes) fail_fixed(fixed);
    std::optional<Drops> found = find_near(budget_.bytes - fixed);
    Drops least = drops_for(0);
    const int64_t bytes = planned_bytes(least);
    if (bytes > budget_.bytes && !found) fail(bytes);
    const auto work = [&](const Drops& drops) { return profile_.flops_again(drops); };
    if (bytes <= budget_.bytes && (!found || work(least) < work(*found))) return least;
    return *found;
  }

 private:
  /// Lifetimes tell less than the plan, whose bytes may lie in pieces: what it takes more is taken
  /// off the goal. None where that is out of reach.
  std::optional<Drops> find_near(int64_t goal) const {
    for (;;) {
      Drops drops = drops_for(goal);
      const int64_t above = planned_bytes(drops) - budget_.bytes;
      if (above <= 0) return drops;
      const int64_t peak = profile_.peak(drops);
      if (peak > goal) return {};
      goal = peak - above;
    }
  }

  /// By the saving with which the goal is reached for less work, or the peak is nearer to it.
  Drops drops_for(int64_t goal) const {
    std::vector<Drops> found;
    for (const Saving saving : {Saving::needed, Saving::all}) {
      Drops& drops = found.emplace_back(usual_);
      lower(profile_, goal, saving, drops);
      keep_dear(profile_, std::max(goal, profile_.peak(drops)), drops);
    }
    const auto rank = [&](const Drops& drops) {
      return std::pair(std::max(goal, profile_.peak(drops)), profile_.flops_again(drops));
    };
    return rank(found[1]) < rank(found[0]) ? found[1] : found[0];
  }

  int64_t planned_bytes(const Drops& drops) const {
    return planned(without(graph_, profile_, drops), target_).peak_bytes();
  }

  [[noreturn]] void fail_fixed(int64_t bytes) const {
    throw Error(fmt::format("states and inputs of a training step alone take {}, 'memory' is {}",
                            size_text(bytes), budget_.text),
                budget_.where)
        .note("fewer parameters, a smaller batch, or an optimiser with fewer states take less");
  }

  [[noreturn]] void fail(int64_t bytes) const {
    throw Error(fmt::format("a training step takes at least {}, 'memory' is {}", size_text(bytes),
                            budget_.text),
                budget_.where)
        .note("all is made again that lowers it; a smaller batch takes less");
  }

  const Graph& graph_;
  const Profile& profile_;
  const Target& target_;
  const MemoryBudget& budget_;
  const Drops& usual_;
};

int64_t flops_of(const Graph& graph) {
  int64_t flops = 0;
  for (const Node& node : graph.nodes()) flops += cost_of(graph, node).flops;
  return flops;
}

}  // namespace

Graph recompute(const Graph& step, const Target& target) {
  const Graph graph = renormalise(step, target);
  const Profile profile(graph, target, Estimate::rough);
  return without(graph, profile, target.recompute ? choose(profile) : Drops{});
}

Graph recompute(const Graph& step, const Target& target, const MemoryBudget& budget,
                BudgetReport& report) {
  const Graph graph = renormalise(step, target);
  const Drops usual = target.recompute ? choose({graph, target, Estimate::rough}) : Drops{};
  const Profile profile(graph, target, Estimate::close);
  Graph as_usual = without(graph, profile, usual);
  const MemoryPlan plan = planned(as_usual, target);
  report = {.bytes = budget.bytes, .bytes_without = plan.peak_bytes()};
  if (plan.peak_bytes() <= budget.bytes) return as_usual;
  const Drops drops = BudgetedStep(graph, profile, target, budget, usual)
                          .find(plan.state_bytes + plan.binding_bytes);
  Graph made = without(graph, profile, drops);
  report.values =
      std::ranges::count_if(drops, [&](const auto& entry) { return !usual.contains(entry.first); });
  report.work = double(flops_of(made)) / double(flops_of(as_usual)) - 1;
  return made;
}

}  // namespace expgraph
