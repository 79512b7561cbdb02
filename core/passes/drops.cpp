// drops: a step and values that it does not keep -> how it makes them again, what that takes, and
// the bytes that are alive over time.
#include "core/passes/drops.h"

#include <algorithm>
#include <numeric>

#include "core/ir/op_schema.h"
#include "core/passes/analysis.h"
#include "core/passes/lifetimes.h"

namespace expgraph {
namespace {

size_t at(ValueId value) { return static_cast<size_t>(value.index); }
int32_t before(int32_t node) { return 2 * node; }
int32_t during(int32_t node) { return 2 * node + 1; }

/// Adds to the slots from `first` to `last`, both included.
void add(std::vector<int64_t>& bytes, int32_t first, int32_t last, int64_t more) {
  for (int32_t slot = first; slot <= last; ++slot) bytes[static_cast<size_t>(slot)] += more;
}

/// The node that makes a value, in the body of a fusion, and which of its outputs that is.
std::pair<const Node*, int> maker_of(const Graph& graph, ValueId value) {
  if (graph.is_leaf(value)) return {};
  const auto [producer, output, type] = graph.value(value);
  const Node& node = graph.node(producer);
  if (!node.body) return {&node, output};
  return maker_of(*node.body, node.body->results()[static_cast<size_t>(output)].value);
}

std::string_view path_at_first(const Node& node) {
  std::string_view path = node.path;
  while (path.ends_with(kAgain)) path.remove_suffix(kAgain.size());
  return path;
}

}  // namespace

bool same_bits(const Graph& graph, ValueId a, ValueId b) {
  if (a == b) return true;
  if (!a.valid() || !b.valid()) return false;
  const auto [x, x_output] = maker_of(graph, a);
  const auto [y, y_output] = maker_of(graph, b);
  if (x == nullptr || y == nullptr || x_output != y_output) return false;
  const bool again = x->path.ends_with(kAgain) || y->path.ends_with(kAgain);
  return again && &op_again(*x) == &op_again(*y) && path_at_first(*x) == path_at_first(*y);
}

const OpSchema& op_again(const Node& node) {
  return node.op->remade_by.empty() ? *node.op : op(node.op->remade_by);
}

std::vector<ValueId> inputs_again(const Node& node) {
  if (node.op->remade_by.empty()) return node.inputs;
  std::vector<ValueId> inputs;
  for (const InputSchema& input : op_again(node).inputs) {
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

Profile::Profile(const Graph& graph, const Target& target, Estimate estimate)
    : graph_(graph),
      estimate_(estimate),
      kept_(kept_values(graph)),
      elsewhere_(graph.values().size(), false),
      in_state_(graph.values().size(), false),
      reads_(graph.values().size()),
      last_(last_reads(graph)),
      times_(graph.nodes().size()),
      base_(2 * graph.nodes().size() + 2, 0) {
  const std::vector<std::vector<NodeId>> readers = graph.consumers();
  for (size_t v = 0; v < readers.size(); ++v) {
    for (const NodeId reader : readers[v]) reads_[v].push_back(reader.index);
  }
  std::iota(times_.begin(), times_.end(), 0);
  const std::vector<Chain> chains = find_chains(graph, target);
  for (const Chain& chain : chains) {
    for (const ValueId value : chain.inner) elsewhere_[at(value)] = true;
  }
  for (const StateUpdate& update : graph.updates()) {
    elsewhere_[at(update.value)] = in_state_[at(update.value)] = true;
  }
  for (const LiveBytes& buffer : buffers_of(graph, elsewhere_, true)) {
    add(base_, during(buffer.first), during(buffer.last), buffer.bytes);
  }
  if (estimate == Estimate::close)
    std::ranges::for_each(chains, [&](const Chain& c) { run_as_one(c); });
  for (const Node& node : graph.nodes()) flops_.push_back(cost_of(graph, node).flops);
  all_flops_ = std::max<int64_t>(std::reduce(flops_.begin(), flops_.end()), 1);
}

/// What its members read before it runs is there until then.
void Profile::run_as_one(const Chain& chain) {
  for (const NodeId member : chain.members) {
    if (member.index >= chain.place.index) continue;
    times_[static_cast<size_t>(member.index)] = chain.place.index;
    for (const ValueId input : graph_.node(member).inputs) {
      if (!input.valid() || graph_.is_leaf(input) || last_[at(input)] >= chain.place.index)
        continue;
      if (!elsewhere_[at(input)]) {
        add(base_, during(last_[at(input)]) + 1, during(chain.place.index), size(input));
      }
      last_[at(input)] = chain.place.index;
    }
  }
}

std::vector<int64_t> Profile::bytes(const Drops& drops) const {
  std::vector<int64_t> bytes = base_;
  std::map<ValueId, int32_t> wait_until;
  struct Making {
    int64_t made = 0;  // before the next one
    int64_t most = 0;
  };
  std::map<int32_t, Making> makings;  // by the node before which they are
  for (const auto& [value, drop] : drops) {
    add(bytes, during(drop.from) + 1, before(drop.to), -size(value));
    const std::optional<Recipe> recipe = recipe_of(value, drops);
    if (estimate_ == Estimate::close) {
      Making& making = makings[drop.to];
      making.most = std::max(making.most, making.made + bytes_while_made(value, *recipe));
      making.made += size(value);
    }
    if (estimate_ == Estimate::rough) {
      for (const ValueId temp : recipe->temps)
        add(bytes, during(drop.to), during(drop.to), size(temp));
    }
    for (const ValueId input : recipe->inputs) {
      int32_t& until = wait_until.try_emplace(input, last_[at(input)]).first->second;
      until = std::max(until, drop.to);
    }
  }
  for (const auto& [time, making] : makings) add(bytes, before(time), before(time), making.most);
  for (const auto& [value, until] : wait_until) {
    if (until <= last_[at(value)]) continue;
    const int32_t end = estimate_ == Estimate::rough ? during(until) : before(until);
    add(bytes, during(last_[at(value)]) + 1, end, size(value));
  }
  return bytes;
}

int64_t Profile::peak(const Drops& drops) const { return std::ranges::max(bytes(drops)); }

std::vector<std::pair<ValueId, Drop>> Profile::candidates(size_t slot, const Drops& drops,
                                                          bool cheap_ones) const {
  const auto time = static_cast<int32_t>(slot / 2);
  std::vector<std::pair<ValueId, Drop>> found;
  for (size_t v = 0; v < reads_.size(); ++v) {
    const ValueId value{static_cast<int32_t>(v)};
    if (!(cheap_ones ? is_cheap(value) : is_made(value)) || elsewhere_[v] || kept_[v]) continue;
    if (drops.contains(value)) continue;
    const auto next = std::ranges::upper_bound(reads_[v], time);
    if (next == reads_[v].begin() || next == reads_[v].end()) continue;
    const int32_t from = times_[static_cast<size_t>(*(next - 1))];
    if (from < time) found.push_back({value, {.from = from, .to = *next}});
  }
  std::ranges::stable_sort(found, std::ranges::greater(),
                           [&](const auto& candidate) { return size(candidate.first); });
  return found;
}

int64_t Profile::bytes_read(const Recipe& recipe) const {
  int64_t bytes = 0;
  for (const ValueId input : recipe.inputs) bytes += size(input);
  return bytes;
}

int64_t Profile::flops_again(ValueId value, const Drops& drops) const {
  int64_t again = 0;
  const std::optional<Recipe> recipe = recipe_of(value, drops);
  for (const NodeId node : recipe->nodes) again += flops_of(node);
  return again;
}

int64_t Profile::flops_again(const Drops& drops) const {
  int64_t again = 0;
  for (const auto& [value, drop] : drops) again += flops_again(value, drops);
  return again;
}

std::optional<Recipe> Profile::recipe_of(ValueId value, const Drops& drops) const {
  Recipe recipe;
  std::set<ValueId> made;
  if (!collect(value, value, drops, recipe, made)) return {};
  return recipe;
}

bool Profile::can_make(const Drops& drops) const {
  return std::ranges::all_of(
      drops, [&](const auto& entry) { return recipe_of(entry.first, drops).has_value(); });
}

/// Whether a node makes it that may run again for it.
bool Profile::is_made(ValueId value) const {
  return !graph_.is_leaf(value) && graph_.value(value).output == 0 && !in_state_[at(value)];
}

/// Of convolutions those of few channels.
bool Profile::is_cheap(ValueId value) const {
  constexpr int64_t kOperations = 64;  // an element
  if (!is_made(value)) return false;
  const NodeId producer = graph_.value(value).producer;
  return !graph_.node(producer).op->remade_by.empty() &&
         flops_of(producer) <= kOperations * graph_.type(value).elements();
}

bool Profile::is_alive(ValueId value, int32_t time, const Drops& drops) const {
  if (elsewhere_[at(value)] || last_[at(value)] < time) return false;
  const auto dropped = drops.find(value);
  return dropped == drops.end() || time <= dropped->second.from || dropped->second.to <= time;
}

/// The most bytes that are alive while a recipe runs: each temp until its last use in it.
int64_t Profile::bytes_while_made(ValueId value, const Recipe& recipe) const {
  const auto is_temp = [&](ValueId v) { return std::ranges::count(recipe.temps, v) > 0; };
  std::map<ValueId, size_t> last;
  for (size_t k = 0; k < recipe.nodes.size(); ++k) {
    for (const ValueId input : inputs_again(graph_.node(recipe.nodes[k]))) {
      if (input.valid() && is_temp(input)) last[input] = k;
    }
  }
  int64_t alive = 0, most = 0;
  for (size_t k = 0; k < recipe.nodes.size(); ++k) {
    const ValueId output = graph_.output(recipe.nodes[k]);
    if (output == value || is_temp(output)) alive += size(output);
    most = std::max(most, alive);
    for (const auto& [temp, until] : last) {
      if (until == k) alive -= size(temp);
    }
  }
  return most;
}

bool Profile::collect(ValueId value, ValueId goal, const Drops& drops, Recipe& recipe,
                      std::set<ValueId>& made) const {
  if (!made.insert(value).second) return true;
  const auto& [from, time, deep] = drops.at(goal);
  const NodeId producer = graph_.value(value).producer;
  for (const ValueId input : inputs_again(graph_.node(producer))) {
    if (!input.valid() || graph_.is_leaf(input)) continue;
    const bool is_dropped = last_[at(input)] >= time && drops.contains(input);
    if (is_alive(input, time, drops)) {
      recipe.inputs.push_back(input);
    } else if (is_cheap(input) || (is_made(input) && (is_dropped || deep))) {
      if (!collect(input, goal, drops, recipe, made)) return false;
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

}  // namespace expgraph
