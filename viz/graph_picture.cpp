// graph_picture: a typed graph -> Picture.
#include "viz/graph_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/ir/op_schema.h"

namespace expgraph {
namespace {

class Painter {
 public:
  Painter(const Graph& graph, std::string title) : graph_(graph) {
    picture_.title = std::move(title);
  }

  Picture paint() {
    for (const Leaf& leaf : graph_.leaves()) add_end(leaf.name, leaf.name);
    for (const Node& node : graph_.nodes()) add_node(node);
    for (const Result& result : graph_.results()) {
      add_edge(result.value, add_end("result " + result.name, result.name));
    }
    for (const StateUpdate& update : graph_.updates()) {
      const std::string& state = graph_.leaf(update.state).name;
      add_edge(update.value, add_end("new " + state, "new " + state));
    }
    add_clusters();
    return std::move(picture_);
  }

 private:
  /// A path that no other node has: backward nodes and copies share one.
  std::string unique(const std::string& path) {
    std::string own = path;
    for (int k = 2; !taken_.insert(own).second; ++k) own = fmt::format("{} {}", path, k);
    return own;
  }

  /// A node without a box: something comes in here, or goes out.
  std::string add_end(const std::string& path, const std::string& title) {
    std::string own = unique(path);
    picture_.nodes.push_back({.path = own, .title = title});
    const Leaf* leaf = graph_.find_leaf(path);
    if (leaf != nullptr && leaf->name == own) made_by_[leaf->value.index] = own;
    return own;
  }

  void add_node(const Node& node) {
    Picture::Node drawn{.path = unique(node.path),
                        .title = last_component(node.path),
                        .op = std::string(node.op->name),
                        .family = std::string(node.op->family)};
    for (const auto& [name, value] : node.attributes) {
      const AttributeSchema* schema = node.op->find_attribute(name);
      const bool is_default = schema != nullptr && schema->fallback && *schema->fallback == value;
      drawn.attributes.push_back({.name = name, .value = to_text(value), .is_default = is_default});
    }
    for (const ValueId input : node.inputs) {
      if (input.valid()) add_edge(input, drawn.path);
    }
    for (const ValueId output : node.outputs) made_by_[output.index] = drawn.path;
    picture_.nodes.push_back(std::move(drawn));
  }

  void add_edge(ValueId value, const std::string& to) {
    picture_.edges.push_back(
        {.from = made_by_.at(value.index), .to = to, .label = graph_.type(value).str()});
  }

  /// Groups of nodes, each before those within it.
  void add_clusters() {
    std::set<std::string> groups;
    for (const Picture::Node& node : picture_.nodes) {
      if (node.op.empty()) continue;
      for (std::string group = parent_path(node.path); !group.empty(); group = parent_path(group)) {
        groups.insert(group);
      }
    }
    for (const std::string& group : groups) picture_.clusters.push_back({group});
  }

  const Graph& graph_;
  Picture picture_;
  std::set<std::string> taken_;
  std::map<int32_t, std::string> made_by_;  ///< value -> the node that it comes from
};

}  // namespace

Picture graph_picture(const Graph& graph, std::string title) {
  return Painter(graph, std::move(title)).paint();
}

}  // namespace expgraph
