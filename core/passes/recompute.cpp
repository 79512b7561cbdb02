// recompute: a step -> one that keeps less. What is cheap to make again (op_schema: remade_by),
// read before the time of most bytes and after it but not then, is dropped in between and made
// again right before its later reader, from what is there at that time (Chen et al., 2016). The
// gradients of gelu and relu always have a batch_norm made again for them where the target runs
// both as one.
#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "core/ir/op_schema.h"
#include "core/passes/analysis.h"
#include "core/passes/chains.h"
#include "core/passes/lifetimes.h"
#include "core/passes/passes.h"

namespace expgraph {
namespace {

size_t at(ValueId value) { return static_cast<size_t>(value.index); }

/// A value is not kept after its read at `from` and made again for its read at `to`.
struct Drop {
  int32_t from = 0;
  int32_t to = 0;
};
using Drops = std::map<ValueId, Drop>;  // in the order in which the values are made

/// How a dropped value is made again.
struct Recipe {
  std::vector<NodeId> nodes;    ///< to be run again, in order
  std::vector<ValueId> temps;   ///< made on the way and materialised, beside the value itself
  std::vector<ValueId> inputs;  ///< read, and so alive until then
};

/// What the node that makes output 0 again reads: its inputs, by name the node's outputs or inputs.
std::vector<ValueId> inputs_again(const Node& node) {
  std::vector<ValueId> inputs;
  for (const InputSchema& input : op(node.op->remade_by).inputs) {
    if (input.variadic) return node.inputs;
    const int output = node.op->output_index(input.name);
    const int same = node.op->input_index(input.name);
    EXPGRAPH_CHECK(output >= 0 || same >= 0);
    const bool absent = output < 0 && static_cast<size_t>(same) >= node.inputs.size();
    if (absent) continue;  // an optional one, at the end
    inputs.push_back(output >= 0 ? node.outputs[static_cast<size_t>(output)]
                                 : node.inputs[static_cast<size_t>(same)]);
  }
  return inputs;
}

/// The graph's bytes over time, and what drops make of them.
class Profile {
 public:
  Profile(const Graph& graph, const Target& target)
      : graph_(graph),
        kept_(kept_values(graph)),
        last_(last_reads(graph)),
        reads_(graph.values().size()),
        elsewhere_(graph.values().size(), false),
        base_(graph.nodes().size() + 1, 0) {
    const std::vector<std::vector<NodeId>> readers = graph.consumers();
    for (size_t v = 0; v < readers.size(); ++v) {
      for (const NodeId reader : readers[v]) reads_[v].push_back(reader.index);
    }
    // What lies inside of a fusion, or in a state, takes no bytes of the arena.
    for (const Chain& chain : find_chains(graph, target)) {
      for (size_t k = 0; k + 1 < chain.members.size(); ++k) {
        elsewhere_[at(graph.output(chain.members[k]))] = true;
      }
    }
    for (const StateUpdate& update : graph.updates()) elsewhere_[at(update.value)] = true;
    for (const LiveBytes& buffer : buffers_of(graph, elsewhere_, true)) {
      add(base_, buffer.first, buffer.last + 1, buffer.bytes);
    }
    for (const Node& node : graph.nodes()) flops_.push_back(cost_of(graph, node).flops);
    all_flops_ = std::max<int64_t>(std::reduce(flops_.begin(), flops_.end()), 1);
  }

  std::vector<int64_t> bytes(const Drops& drops) const {
    std::vector<int64_t> bytes = base_;
    std::map<ValueId, int32_t> wait_until;
    for (const auto& [value, drop] : drops) {
      add(bytes, drop.from + 1, drop.to, -size(value));
      const std::optional<Recipe> recipe = recipe_of(value, drops);
      for (const ValueId temp : recipe->temps) add(bytes, drop.to, drop.to + 1, size(temp));
      for (const ValueId input : recipe->inputs) {
        int32_t& until = wait_until.try_emplace(input, last_[at(input)]).first->second;
        until = std::max(until, drop.to);
      }
    }
    for (const auto& [value, until] : wait_until) {
      add(bytes, last_[at(value)] + 1, until + 1, size(value));
    }
    return bytes;
  }

  /// Values that may be dropped at `time`, the largest first.
  std::vector<std::pair<ValueId, Drop>> candidates(int32_t time, const Drops& drops) const {
    std::vector<std::pair<ValueId, Drop>> found;
    for (size_t v = 0; v < reads_.size(); ++v) {
      const ValueId value{static_cast<int32_t>(v)};
      if (!is_cheap(value) || elsewhere_[v] || kept_[v] || drops.contains(value)) continue;
      const auto next = std::ranges::upper_bound(reads_[v], time);
      if (next == reads_[v].begin() || next == reads_[v].end() || *(next - 1) == time) continue;
      found.push_back({value, {.from = *(next - 1), .to = *next}});
    }
    std::ranges::stable_sort(found, std::ranges::greater(),
                             [&](const auto& candidate) { return size(candidate.first); });
    return found;
  }

  /// Operations to make a dropped value again, as a share of the step's.
  double work_again(ValueId value, const Drops& drops) const {
    int64_t again = 0;
    const std::optional<Recipe> recipe = recipe_of(value, drops);
    for (const NodeId node : recipe->nodes) again += flops_of(node);
    return double(again) / double(all_flops_);
  }

  /// None where something on the way is neither there nor cheap.
  std::optional<Recipe> recipe_of(ValueId value, const Drops& drops) const {
    Recipe recipe;
    std::set<ValueId> made;
    if (!collect(value, value, drops.at(value).to, drops, recipe, made)) return {};
    return recipe;
  }

 private:
  static void add(std::vector<int64_t>& bytes, int32_t begin, int32_t end, int64_t more) {
    for (int32_t t = begin; t < end; ++t) bytes[static_cast<size_t>(t)] += more;
  }
  int64_t size(ValueId value) const { return graph_.type(value).bytes(); }
  /// Whether it can be made again in about the time that writing and reading it takes: of
  /// convolutions those of few channels.
  bool is_cheap(ValueId value) const {
    constexpr int64_t kOperations = 64;  // an element
    if (graph_.is_leaf(value) || graph_.value(value).output != 0) return false;
    const NodeId producer = graph_.value(value).producer;
    return !graph_.node(producer).op->remade_by.empty() &&
           flops_of(producer) <= kOperations * graph_.type(value).elements();
  }
  int64_t flops_of(NodeId node) const { return flops_[static_cast<size_t>(node.index)]; }
  bool is_alive(ValueId value, int32_t time, const Drops& drops) const {
    if (elsewhere_[at(value)] || last_[at(value)] < time) return false;
    const auto dropped = drops.find(value);
    return dropped == drops.end() || time <= dropped->second.from || dropped->second.to <= time;
  }

  bool collect(ValueId value, ValueId goal, int32_t time, const Drops& drops, Recipe& recipe,
               std::set<ValueId>& made) const {
    if (!made.insert(value).second) return true;
    const NodeId producer = graph_.value(value).producer;
    for (const ValueId input : inputs_again(graph_.node(producer))) {
      if (!input.valid() || graph_.is_leaf(input)) continue;
      if (is_alive(input, time, drops)) {
        recipe.inputs.push_back(input);
      } else if (is_cheap(input)) {
        if (!collect(input, goal, time, drops, recipe, made)) return false;
      } else if (!elsewhere_[at(input)]) {
        recipe.inputs.push_back(input);  // waits
      } else {
        return false;
      }
    }
    if (value != goal && !elsewhere_[at(value)]) recipe.temps.push_back(value);
    recipe.nodes.push_back(producer);
    return true;
  }

  const Graph& graph_;
  std::vector<bool> kept_;
  std::vector<int32_t> last_;
  std::vector<std::vector<int32_t>> reads_;  // by value, in order
  std::vector<bool> elsewhere_;
  std::vector<int64_t> base_;
  std::vector<int64_t> flops_;  // by node
  int64_t all_flops_ = 1;
};

int64_t peak_of(const std::vector<int64_t>& bytes) { return *std::ranges::max_element(bytes); }

/// What is made on the way to a dropped value and dropped itself until later is kept from then on,
/// where that does not raise the peak.
void share_temps(const Profile& profile, int64_t peak, Drops& drops) {
  for (const auto& [value, drop] : Drops(drops)) {
    const std::vector<ValueId> temps = profile.recipe_of(value, drops)->temps;
    for (const ValueId temp : temps) {
      const auto own = drops.find(temp);
      if (own == drops.end() || own->second.to < drop.to) continue;
      const int32_t later = std::exchange(own->second.to, drop.to);
      if (peak_of(profile.bytes(drops)) > peak) own->second.to = later;
    }
  }
}

/// At the time of most bytes the largest value whose drop lowers them is dropped, until there is
/// none; then what does not save a larger share of the bytes than it adds of the work comes back.
Drops choose(const Profile& profile) {
  Drops drops;
  std::vector<int64_t> bytes = profile.bytes(drops);
  const auto lower = [&] {
    const auto time = static_cast<size_t>(std::ranges::max_element(bytes) - bytes.begin());
    for (const auto& [value, drop] : profile.candidates(static_cast<int32_t>(time), drops)) {
      drops.emplace(value, drop);
      if (profile.recipe_of(value, drops)) {
        std::vector<int64_t> now = profile.bytes(drops);
        if (now[time] < bytes[time] && peak_of(now) <= bytes[time]) {
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
  int64_t peak = peak_of(bytes);
  for (const auto& [value, drop] : Drops(drops)) {
    const double work = profile.work_again(value, drops);
    drops.erase(value);
    const int64_t without = peak_of(profile.bytes(drops));
    if (double(without - peak) > work * double(peak)) {
      drops.emplace(value, drop);
    } else {
      peak = without;
    }
  }
  share_temps(profile, peak, drops);
  return drops;
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
  const OpSchema& remade_by = op(node.op->remade_by);
  Attributes attributes;
  for (const AttributeSchema& attribute : remade_by.attributes) {
    attributes.set(std::string(attribute.name), *node.attributes.find(attribute.name));
  }
  Graph& graph = rewriter.graph();
  return graph.output(graph.add_node(remade_by, std::move(attributes), std::move(inputs),
                                     node.path + "/recompute", node.where));
}

/// Adds the nodes that make the value again.
void make_again(const Graph& from, ValueId value, const Recipe& recipe, Rewriter& rewriter) {
  std::map<ValueId, ValueId> made;
  for (const NodeId id : recipe.nodes) {
    made[from.output(id)] = add_again(from.node(id), made, rewriter);
  }
  rewriter.set(value, made.at(value));
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

}  // namespace

Graph recompute(const Graph& step, const Target& target) {
  const Graph graph = renormalise(step, target);
  const Profile profile(graph, target);
  const Drops drops = target.recompute ? choose(profile) : Drops{};
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

}  // namespace expgraph
