// graph_text: Graph -> text, a line a value in the order they were made, so that %7 is value 7.
#include <fmt/format.h>

#include <algorithm>

#include "core/ir/graph_words.h"
#include "core/ir/op_schema.h"

namespace expgraph {
namespace {

/// A word as it is, or a quoted text.
std::string name_text(const std::string& name) {
  const bool plain = !name.empty() && std::all_of(name.begin(), name.end(), is_word_character);
  return plain ? name : to_text(AttributeValue(name));
}

std::string value_text(ValueId id) { return id.valid() ? fmt::format("%{}", id.index) : "_"; }

template <typename Range, typename Print>
std::string joined(const Range& range, Print print) {
  std::string out;
  for (const auto& entry : range) {
    if (!out.empty()) out += ", ";
    out += print(entry);
  }
  return out;
}

std::string initialiser_text(const Initialiser& initialiser) {
  const std::string name(kInitialiserNames[static_cast<size_t>(initialiser.kind)]);
  if (initialiser.kind == Initialiser::Kind::constant) {
    return fmt::format("{}({})", name, initialiser.a);
  }
  if (initialiser.kind == Initialiser::Kind::copy) {
    return fmt::format("{}({})", name, name_text(initialiser.of));
  }
  return fmt::format("{}({}, {})", name, initialiser.a, initialiser.b);
}

std::string choice_text(const ChoiceRule& rule) {
  std::string out = " bounds " + to_text(rule.bounds);
  if (rule.kind == ChoiceRule::Kind::alternating) out += " alternating";
  if (rule.kind == ChoiceRule::Kind::beta) out += fmt::format(" beta({})", rule.alpha);
  return out;
}

std::string leaf_text(const Graph& graph, const Leaf& leaf) {
  std::string out = fmt::format("{} = {} {} : {}", value_text(leaf.value),
                                kLeafNames[static_cast<size_t>(leaf.kind)], name_text(leaf.name),
                                graph.type(leaf.value).str());
  if (leaf.kind == LeafKind::state) out += ' ' + initialiser_text(leaf.initialiser);
  if (leaf.trainable) out += " trainable";
  if (leaf.kind == LeafKind::choice) out += choice_text(leaf.choice);
  return out;
}

void append_graph(std::string& out, const Graph& graph, std::string_view word, int indent);

void append_node(std::string& out, const Graph& graph, const Node& node, int indent) {
  if (!node.outputs.empty()) out += joined(node.outputs, value_text) + " = ";
  out += fmt::format("{}({})", node.op->name, joined(node.inputs, value_text));
  if (!node.op->attributes.empty()) {
    out += " {" + joined(node.op->attributes, [&](const AttributeSchema& schema) {
             return fmt::format("{}={}", schema.name, to_text(*node.attributes.find(schema.name)));
           });
    out += '}';
  }
  if (!node.outputs.empty()) {
    out += " : " + joined(node.outputs, [&](ValueId id) { return graph.type(id).str(); });
  }
  if (!node.path.empty()) out += " @ " + name_text(node.path);
  if (node.body) {
    out += ' ';
    append_graph(out, *node.body, "body", indent);
  }
}

void append_graph(std::string& out, const Graph& graph, std::string_view word, int indent) {
  const std::string margin(static_cast<size_t>(indent) + 2, ' ');
  out += fmt::format("{} {} {{\n", word, name_text(graph.name()));
  auto leaf = graph.leaves().begin();
  auto node = graph.nodes().begin();
  const auto leaf_is_next = [&] {
    if (leaf == graph.leaves().end()) return false;
    if (node == graph.nodes().end()) return true;
    if (!node->outputs.empty()) return leaf->value < node->outputs[0];
    return std::any_of(node->inputs.begin(), node->inputs.end(),
                       [&](ValueId input) { return leaf->value <= input; });
  };
  while (leaf != graph.leaves().end() || node != graph.nodes().end()) {
    out += margin;
    if (leaf_is_next()) {
      out += leaf_text(graph, *leaf++);
    } else {
      append_node(out, graph, *node++, indent + 2);
    }
    out += '\n';
  }
  for (const Result& result : graph.results()) {
    out +=
        fmt::format("{}result {} = {}\n", margin, name_text(result.name), value_text(result.value));
  }
  for (const StateUpdate& update : graph.updates()) {
    out += fmt::format("{}update {} = {}\n", margin, name_text(graph.leaf(update.state).name),
                       value_text(update.value));
  }
  out += std::string(static_cast<size_t>(indent), ' ') + '}';
}

}  // namespace

std::string to_text(const Graph& graph) {
  constexpr size_t kLine = 160;
  std::string out;
  out.reserve(kLine * (graph.nodes().size() + graph.leaves().size() + 1));
  append_graph(out, graph, "graph", 0);
  out += '\n';
  return out;
}

}  // namespace expgraph
