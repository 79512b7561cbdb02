// chains: a graph and the patterns of a target -> which nodes are to become one.
#include "core/passes/chains.h"

#include <algorithm>

#include "core/ir/op_schema.h"
#include "core/passes/analysis.h"

namespace expgraph {
namespace {

class Matcher {
 public:
  explicit Matcher(const Graph& graph)
      : graph_(graph), readers_(graph.consumers()), kept_(kept_values(graph)) {
    for (size_t n = 0; n < graph.nodes().size(); ++n) place_.push_back(static_cast<int32_t>(n));
    taken_.resize(place_.size(), false);
  }

  void match(const FusionPattern& pattern) {
    for (size_t n = 0; n < graph_.nodes().size(); ++n) {
      Chain chain{.pattern = &pattern, .members = members({static_cast<int32_t>(n)}, pattern)};
      if (chain.members.empty()) continue;
      chain.place = find_place(chain.members);
      if (!chain.place.valid()) continue;
      for (size_t k = 0; k + 1 < chain.members.size(); ++k) {
        const ValueId link = graph_.output(chain.members[k]);
        if (stays_inside(link, chain.members)) chain.inner.push_back(link);
      }
      for (const NodeId member : chain.members) {
        taken_[index(member)] = true;
        place_[index(member)] = chain.place.index;
      }
      chains_.push_back(std::move(chain));
    }
  }

  std::vector<Chain> take() {
    std::ranges::sort(chains_, {}, &Chain::place);
    return std::move(chains_);
  }

 private:
  static size_t index(NodeId node) { return static_cast<size_t>(node.index); }
  const std::vector<NodeId>& readers(ValueId value) const {
    return readers_[static_cast<size_t>(value.index)];
  }

  bool is_kept(ValueId value) const { return kept_[static_cast<size_t>(value.index)]; }
  static bool has(const std::vector<NodeId>& members, NodeId node) {
    return std::ranges::find(members, node) != members.end();
  }
  bool stays_inside(ValueId value, const std::vector<NodeId>& members) const {
    return !is_kept(value) &&
           std::ranges::all_of(readers(value), [&](NodeId reader) { return has(members, reader); });
  }

  /// The first reader of that operator that is free; invalid where there is none.
  NodeId reader(ValueId value, const std::string& op) const {
    const auto found = std::ranges::find_if(readers(value), [&](NodeId node) {
      return !taken_[index(node)] && graph_.node(node).op->name == op;
    });
    return found == readers(value).end() ? NodeId() : *found;
  }

  /// The nodes of the pattern from `first` on; empty where it does not match.
  std::vector<NodeId> members(NodeId first, const FusionPattern& pattern) const {
    if (taken_[index(first)] || graph_.node(first).op->name != pattern.ops[0]) return {};
    if (pattern.only && graph_.type(graph_.output(first)).dtype != *pattern.only) return {};
    std::vector<NodeId> found{first};
    while (found.size() < pattern.ops.size()) {
      const ValueId link = graph_.output(found.back());
      const bool alone = readers(link).size() == 1 && !is_kept(link);
      if (pattern.link(found.size() - 1) == Link::next && !alone) return {};
      const NodeId next = reader(link, pattern.ops[found.size()]);
      if (!next.valid()) return {};
      found.push_back(next);
    }
    for (size_t k = 0; k + 1 < found.size(); ++k) {
      const bool inside = stays_inside(graph_.output(found[k]), found);
      if (pattern.link(k) == Link::members && !inside) return {};
    }
    return found;
  }

  /// The latest member's place after all producers and before all readers outside the chain. Each
  /// node, chains found before included, runs at place_ and stays in order.
  NodeId find_place(const std::vector<NodeId>& members) const {
    int32_t after = -1;
    auto before = static_cast<int32_t>(place_.size());
    bool is_read = false;
    for (const NodeId member : members) {
      for (const ValueId input : graph_.node(member).inputs) {
        if (!input.valid() || graph_.is_leaf(input)) continue;
        const NodeId producer = graph_.value(input).producer;
        if (!has(members, producer)) after = std::max(after, place_[index(producer)]);
      }
      for (const ValueId output : graph_.node(member).outputs) {
        is_read |= is_kept(output);
        for (const NodeId node : readers(output)) {
          if (has(members, node)) continue;
          is_read = true;
          before = std::min(before, place_[index(node)]);
        }
      }
    }
    if (!is_read) return {};  // dead code: a fusion must have a result
    for (size_t k = members.size(); k-- > 0;) {
      if (members[k].index > after && members[k].index < before) return members[k];
    }
    return {};
  }

  const Graph& graph_;
  std::vector<std::vector<NodeId>> readers_;
  std::vector<bool> kept_;
  std::vector<int32_t> place_;  // by node: where it runs
  std::vector<bool> taken_;
  std::vector<Chain> chains_;
};

}  // namespace

std::vector<Chain> find_chains(const Graph& graph, const Target& target) {
  if (std::optional<Chain> feed = find_feed(graph, target)) return {*std::move(feed)};
  std::vector<const FusionPattern*> patterns;
  for (const FusionPattern& pattern : target.fusions) patterns.push_back(&pattern);
  std::ranges::stable_sort(patterns, std::ranges::greater(),
                           [](const FusionPattern* pattern) { return pattern->ops.size(); });
  Matcher matcher(graph);
  for (const FusionPattern* pattern : patterns) matcher.match(*pattern);
  return matcher.take();
}

}  // namespace expgraph
