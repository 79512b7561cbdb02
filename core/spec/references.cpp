// references: FlatSpec -> an Error when a name means nothing or a value depends on itself.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_map>

#include "core/spec/graph_spec.h"
#include "core/spec/paths.h"
#include "core/support/suggest.h"

namespace expgraph {
namespace {

/// A value in the dependence graph: an entry's value, or a group's input.
struct Vertex {
  size_t node = 0;
  bool is_group_input = false;
};

class Checker {
 public:
  Checker(const FlatSpec& spec, const OpNames& ops) : spec_(spec), ops_(ops) {
    index_.reserve(spec.nodes.size());
    for (size_t i = 0; i < spec.nodes.size(); ++i) index_.emplace(spec.nodes[i].path, i);
  }

  void run() {
    edges_.resize(spec_.nodes.size() * 2);
    for (size_t i = 0; i < spec_.nodes.size(); ++i) connect(i);
    if (spec_.is_network && !find(spec_.output)) {
      throw Error(fmt::format("the network's output '{}' is not a node", spec_.output));
    }
    find_cycle();
  }

 private:
  static constexpr size_t kOutside = SIZE_MAX;  ///< the input of a network

  /// Vertex that a path means; nothing when it means none.
  std::optional<size_t> find(std::string_view path) const {
    if (const auto found = index_.find(path); found != index_.end()) return found->second * 2;
    const std::string_view last = last_component(path);
    const std::string_view parent = parent_path(path);
    if (last == "in" && parent.empty() && spec_.is_network) return kOutside;
    const auto owner = index_.find(parent);
    if (owner == index_.end()) return std::nullopt;
    const SpecNode& node = spec_.nodes[owner->second];
    if (node.is_group) {
      if (last != "in" || node.inputs.empty()) return std::nullopt;
      return owner->second * 2 + 1;
    }
    const OpNames::Op& op = ops_.ops.find(node.op)->second;
    const bool known = std::find(op.outputs.begin(), op.outputs.end(), last) != op.outputs.end();
    return known ? std::optional(owner->second * 2) : std::nullopt;
  }

  void connect(size_t i) {
    const SpecNode& node = spec_.nodes[i];
    const size_t vertex = i * 2 + (node.is_group && node.evaluates.empty() ? 1 : 0);
    for (const Reference& reference : node.inputs) link(node, vertex, reference);
    for (const auto& [name, reference] : node.named) link(node, vertex, reference);
    if (!node.evaluates.empty()) {
      check_evaluation(node);
    } else if (node.is_group) {
      link(node, i * 2, {node.output, place_of_target(node)}, false);
    }
  }

  static const Location& place_of_target(const SpecNode& node) {
    return node.target_where ? node.target_where : node.where;
  }

  void check_evaluation(const SpecNode& node) const {
    const SpecNode* target = spec_.find(node.evaluates);
    if (target == nullptr) unknown(node, {node.evaluates, place_of_target(node)});
    if (!target->is_group || !target->evaluates.empty()) {
      Error error(fmt::format("'{}' is not a group that could be evaluated", node.evaluates),
                  place_of_target(node));
      throw note_chain(error, node.chain);
    }
  }

  void link(const SpecNode& node, size_t vertex, const Reference& reference, bool reads = true) {
    const std::optional<size_t> target = find(reference.path);
    if (!target) unknown(node, reference);
    if (*target == kOutside) return;
    const SpecNode& source = spec_.nodes[*target / 2];
    if (reads && !source.is_group && ops_.ops.find(source.op)->second.outputs.empty()) {
      Error error(fmt::format("'{}' has no value: {} has no outputs", source.path, source.op),
                  reference.where);
      throw note_chain(error, node.chain);
    }
    edges_[vertex].push_back({*target, reference.where});
  }

  [[noreturn]] void unknown(const SpecNode& node, const Reference& reference) const {
    const std::string group(node.is_group && node.output == reference.path
                                ? std::string_view(node.path)
                                : parent_path(node.path));
    const std::string shown = relative_path(reference.path, group);
    std::vector<std::string> names;
    for (const SpecNode& other : spec_.nodes) {
      const std::string name = relative_path(other.path, group);
      names.push_back(name);
      if (other.is_group) continue;
      const auto& outputs = ops_.ops.find(other.op)->second.outputs;
      for (size_t k = 0; outputs.size() > 1 && k < outputs.size(); ++k) {
        names.push_back(fmt::format("{}/{}", name, outputs[k]));
      }
    }
    Error error(fmt::format("'{}' names no value: there is no '{}'", shown, reference.path),
                reference.where);
    const std::string near = did_you_mean(shown, names);
    if (!near.empty()) error.note(near);
    throw note_chain(error, node.chain);
  }

  /// Depth-first search without recursion: a graph may be as deep as it is long.
  void find_cycle() {
    enum class State : char { unseen, open, done };
    std::vector<State> state(edges_.size(), State::unseen);
    struct Step {
      size_t vertex;
      size_t next = 0;
    };
    std::vector<Step> stack;
    for (size_t start = 0; start < edges_.size(); ++start) {
      if (state[start] != State::unseen) continue;
      stack.push_back({start});
      state[start] = State::open;
      while (!stack.empty()) {
        Step& step = stack.back();
        if (step.next == edges_[step.vertex].size()) {
          state[step.vertex] = State::done;
          stack.pop_back();
          continue;
        }
        const Edge& edge = edges_[step.vertex][step.next++];
        if (state[edge.target] == State::open) {
          std::vector<std::string> names;
          size_t k = stack.size();
          while (stack[k - 1].vertex != edge.target) --k;
          for (; k <= stack.size(); ++k) add_name(names, stack[k - 1].vertex);
          add_name(names, edge.target);
          throw cycle(names, stack.back().vertex, edge);
        }
        if (state[edge.target] == State::unseen) {
          state[edge.target] = State::open;
          stack.push_back({edge.target});
        }
      }
    }
  }

  struct Edge {
    size_t target;
    Location where;
  };

  void add_name(std::vector<std::string>& names, size_t vertex) const {
    const std::string& path = spec_.nodes[vertex / 2].path;
    if (names.empty() || names.back() != path) names.push_back(path);
  }

  Error cycle(std::vector<std::string> names, size_t vertex, const Edge& edge) const {
    constexpr size_t shown = 8;
    if (names.size() > shown) {
      names.erase(names.begin() + 4, names.end() - 3);
      names.insert(names.begin() + 4, "...");
    }
    Error error(fmt::format("inputs form a cycle: '{}'", fmt::join(names, "' reads '")),
                edge.where);
    note_chain(error, spec_.nodes[vertex / 2].chain);
    return error;
  }

  const FlatSpec& spec_;
  const OpNames& ops_;
  std::unordered_map<std::string_view, size_t> index_;
  std::vector<std::vector<Edge>> edges_;
};

}  // namespace

void check_references(const FlatSpec& spec, const OpNames& ops) { Checker(spec, ops).run(); }

}  // namespace expgraph
