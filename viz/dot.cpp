// dot: Picture -> Graphviz DOT.
#include "viz/dot.h"

#include <fmt/format.h>

#include <set>

#include "viz/escape.h"
#include "viz/style.h"

namespace expgraph {
namespace {

constexpr std::string_view kQuiet = "#9aa4b0";  // borders and names of clusters

/// Writes one picture; keeps the text and how deep it is.
class Writer {
 public:
  explicit Writer(const Picture& picture) : picture_(picture) {
    for (const Picture::Cluster& cluster : picture.clusters) clusters_.insert(cluster.path);
  }

  std::string write() {
    line("digraph {{");
    ++depth_;
    write_defaults();
    write_members("");
    for (const Picture::Edge& edge : picture_.edges) write_edge(edge);
    --depth_;
    line("}}");
    return std::move(text_);
  }

 private:
  template <typename... Args>
  void line(fmt::format_string<Args...> format, Args&&... args) {
    text_.append(2 * depth_, ' ');
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
    text_ += '\n';
  }

  void write_defaults() {
    line("graph [nodesep=0.16, ranksep=0.12, pad=0.15, bgcolor=\"#ffffff\"]");
    line("graph [fontname=\"Helvetica,Arial,sans-serif\", fontsize=16, fontcolor=\"#1f2933\"]");
    line("graph [label=\"{}\", labelloc=t]", escape_dot(shorten(picture_.title, 120)));
    line("node [shape=box, style=\"rounded,filled\", height=0.2, margin=\"0.09,0.035\"]");
    line("node [fontname=\"Helvetica,Arial,sans-serif\", fontsize=11.5]");
    line("edge [fontname=\"Helvetica,Arial,sans-serif\", fontsize=10.5, fontcolor=\"#5b6672\"]");
    line("edge [color=\"#5b6672\", arrowsize=0.5, penwidth=0.9]");
  }

  /// The innermost drawn cluster that holds `path`; "" when there is none.
  std::string cluster_of(const std::string& path) const {
    std::string group = parent_path(path);
    while (!group.empty() && !clusters_.contains(group)) group = parent_path(group);
    return group;
  }

  void write_members(const std::string& group) {
    for (const Picture::Node& node : picture_.nodes) {
      if (cluster_of(node.path) == group) write_node(node);
    }
    for (const Picture::Cluster& cluster : picture_.clusters) {
      if (cluster_of(cluster.path) == group) write_cluster(cluster);
    }
  }

  void write_cluster(const Picture::Cluster& cluster) {
    const bool changed = cluster.change != Change::none;
    const std::string_view colour = changed ? colours_of(cluster.change).border : kQuiet;
    line("subgraph \"cluster_{}\" {{", dot_id(cluster.path));
    ++depth_;
    line("graph [label=\"{}{}\", labeljust=l, fontsize=9.5, margin=6, style=\"rounded{}\"]",
         mark_of(cluster.change), escape_dot(shorten(last_component(cluster.path), 40)),
         cluster.change == Change::removed ? ",dashed" : "");
    line("graph [color=\"{}\", fontcolor=\"{}\", penwidth=0.8]", colour, colour);
    write_members(cluster.path);
    --depth_;
    line("}}");
  }

  void write_node(const Picture::Node& node) {
    const Colours& colours = colours_of(picture_, node);
    const NodeText text = text_of(node);
    std::string label = escape_dot(text.title);
    if (!text.op.empty()) label += "  " + escape_dot(text.op);
    for (const std::string& one : text.lines) label += "\\n" + escape_dot(one);
    line("\"{}\" [label=\"{}\", fillcolor=\"{}\", color=\"{}\", fontcolor=\"{}\"{}{}]",
         dot_id(node.path), label, colours.fill, colours.border, colours.text,
         has_box(picture_, node) ? "" : ", shape=plain, style=\"\"",
         node.change == Change::removed ? ", style=\"rounded,filled,dashed\"" : "");
  }

  void write_edge(const Picture::Edge& edge) {
    std::string options;
    const auto add = [&](std::string_view option) {
      options += fmt::format("{}{}", options.empty() ? "" : ", ", option);
    };
    if (!edge.label.empty()) add(fmt::format("label=\"{}\"", escape_dot(edge.label)));
    if (picture_.is_diff) {
      const Colours& colours = colours_of(edge.change);
      add(fmt::format("color=\"{0}\", fontcolor=\"{0}\"", colours.border));
      if (edge.change != Change::none) add("penwidth=1.8");
      if (edge.change == Change::removed) add("style=dashed");
    }
    line("\"{}\" -> \"{}\"{}", dot_id(edge.from), dot_id(edge.to),
         options.empty() ? "" : fmt::format(" [{}]", options));
  }

  const Picture& picture_;
  std::set<std::string> clusters_;
  size_t depth_ = 0;
  std::string text_;
};

}  // namespace

std::string to_dot(const Picture& picture) { return Writer(picture).write(); }

}  // namespace expgraph
