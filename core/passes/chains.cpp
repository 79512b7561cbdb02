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

  /// The nodes of the pattern from `first` on; empty where it does not match.
  std::vector<NodeId> members(NodeId first, const FusionPattern& pattern) const {
    std::vector<NodeId> found;
    if (pattern.only && graph_.type(graph_.output(first)).dtype != *pattern.only) return {};
    NodeId node = first;
    for (const std::string& name : pattern.ops) {
      if (taken_[index(node)] || graph_.node(node).op->name != name) return {};
      found.push_back(node);
      if (found.size() == pattern.ops.size()) break;
      const ValueId link = graph_.output(node);
      if (readers(link).size() != 1 || kept_[static_cast<size_t>(link.index)]) return {};
      node = readers(link)[0];
    }
    return found;
  }

  /// The latest member's place after all producers and before all readers outside the chain. Each
  /// node, chains found before included, runs at place_ and stays in order.
  NodeId find_place(const std::vector<NodeId>& members) const {
    const auto inside = [&](NodeId node) {
      return std::ranges::find(members, node) != members.end();
    };
    int32_t after = -1;
    auto before = static_cast<int32_t>(place_.size());
    bool is_read = false;
    for (const NodeId member : members) {
      for (const ValueId input : graph_.node(member).inputs) {
        if (!input.valid() || graph_.is_leaf(input)) continue;
        const NodeId producer = graph_.value(input).producer;
        if (!inside(producer)) after = std::max(after, place_[index(producer)]);
      }
      for (const ValueId output : graph_.node(member).outputs) {
        is_read |= kept_[static_cast<size_t>(output.index)];
        for (const NodeId reader : readers(output)) {
          if (inside(reader)) continue;
          is_read = true;
          before = std::min(before, place_[index(reader)]);
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
  std::vector<const FusionPattern*> patterns;
  for (const FusionPattern& pattern : target.fusions) patterns.push_back(&pattern);
  std::ranges::stable_sort(patterns, std::ranges::greater(),
                           [](const FusionPattern* pattern) { return pattern->ops.size(); });
  Matcher matcher(graph);
  for (const FusionPattern* pattern : patterns) matcher.match(*pattern);
  return matcher.take();
}

}  // namespace expgraph
