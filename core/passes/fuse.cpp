// fuse: chains that the target runs as one node -> fusion nodes. The fusion keeps its members as a
// body graph, which is its meaning for types, for backends without a kernel of that kind, for cost.
#include <algorithm>
#include <map>
#include <set>

#include "core/ir/op_schema.h"
#include "core/passes/analysis.h"
#include "core/passes/chains.h"
#include "core/passes/passes.h"

namespace expgraph {
namespace {

struct Fusion {
  std::vector<ValueId> inputs;   ///< of the whole graph, in the order of the body's leaves
  std::vector<ValueId> outputs;  ///< of the whole graph, in the order of the body's results
  Graph body;
};

/// `name`, or the first of "name_2", "name_3" that is free.
std::string unused(std::set<std::string>& used, std::string_view name) {
  std::string candidate(name);
  for (int k = 2; !used.insert(candidate).second; ++k) {
    candidate = std::string(name) + "_" + std::to_string(k);
  }
  return candidate;
}

std::string_view input_name(const OpSchema& op, size_t k) {
  return op.inputs[std::min(k, op.inputs.size() - 1)].name;
}

Fusion make_fusion(const Graph& graph, const Chain& chain,
                   const std::vector<std::vector<NodeId>>& readers, const std::vector<bool>& kept) {
  const auto inside = [&](NodeId node) {
    return std::ranges::find(chain.members, node) != chain.members.end();
  };
  Fusion fusion{.body = Graph(chain.pattern->name)};
  std::map<ValueId, ValueId> in_body;
  std::set<std::string> names;
  for (const NodeId member : chain.members) {
    const Node& node = graph.node(member);
    for (size_t k = 0; k < node.inputs.size(); ++k) {
      const ValueId input = node.inputs[k];
      if (!input.valid() || in_body.contains(input) || inside(graph.value(input).producer)) {
        continue;
      }
      fusion.inputs.push_back(input);
      in_body[input] =
          fusion.body.add_input(unused(names, input_name(*node.op, k)), graph.type(input));
    }
  }
  for (const NodeId member : chain.members) {
    const Node& node = graph.node(member);
    std::vector<ValueId> inputs;
    for (const ValueId input : node.inputs) {
      inputs.push_back(input.valid() ? in_body.at(input) : ValueId());
    }
    const NodeId now =
        fusion.body.add_node(*node.op, node.attributes, std::move(inputs), node.path, node.where);
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      in_body[node.outputs[k]] = fusion.body.output(now, static_cast<int>(k));
    }
  }
  names.clear();
  for (const NodeId member : chain.members) {
    const Node& node = graph.node(member);
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      const auto value = static_cast<size_t>(node.outputs[k].index);
      const bool is_read = kept[value] || std::ranges::any_of(readers[value], [&](NodeId reader) {
                             return !inside(reader);
                           });
      if (!is_read) continue;
      fusion.outputs.push_back(node.outputs[k]);
      fusion.body.add_result(unused(names, node.op->outputs[k].name), in_body.at(node.outputs[k]));
    }
  }
  return fusion;
}

}  // namespace

Graph fuse(const Graph& graph, const Target& target) {
  const std::vector<Chain> chains = find_chains(graph, target);
  const std::vector<std::vector<NodeId>> readers = graph.consumers();
  const std::vector<bool> kept = kept_values(graph);
  std::vector<bool> fused(graph.nodes().size(), false);
  for (const Chain& chain : chains) {
    for (const NodeId member : chain.members) fused[static_cast<size_t>(member.index)] = true;
  }

  Rewriter rewriter(graph);
  auto next = chains.begin();
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const NodeId id{static_cast<int32_t>(n)};
    if (!fused[n]) rewriter.copy(id);
    if (next == chains.end() || next->place != id) continue;
    Fusion fusion = make_fusion(graph, *next, readers, kept);
    const Node& last = graph.node(next->members.back());
    for (ValueId& input : fusion.inputs) input = rewriter.map(input);
    Attributes attributes;
    attributes.set("kind", next->pattern->name);
    const NodeId made = rewriter.graph().add_node(
        op("fusion"), std::move(attributes), std::move(fusion.inputs), last.path, last.where,
        std::make_shared<const Graph>(std::move(fusion.body)));
    for (size_t k = 0; k < fusion.outputs.size(); ++k) {
      rewriter.set(fusion.outputs[k], rewriter.graph().output(made, static_cast<int>(k)));
    }
    ++next;
  }
  return rewriter.finish();
}

}  // namespace expgraph
