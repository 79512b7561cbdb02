// svg: Picture -> SVG.
#include "viz/svg.h"

#include <fmt/format.h>

#include <cmath>

#include "viz/escape.h"
#include "viz/layout.h"
#include "viz/style.h"

namespace expgraph {
namespace {

constexpr std::string_view kQuiet = "#6b7683";
constexpr double kTitleSize = 10.5, kLineSize = 8.5;  // font sizes in a node
constexpr double kRound = 5;                          // radius of corners

class SvgWriter {
 public:
  explicit SvgWriter(const Picture& picture) : picture_(picture), layout_(lay_out(picture)) {}

  std::string write() {
    put("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
        "viewBox=\"0 0 {0:.0f} {1:.0f}\" font-family=\"Helvetica,Arial,sans-serif\">\n",
        std::ceil(layout_.width), std::ceil(layout_.height));
    put("<title>{0}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        "<text x=\"{1:.1f}\" y=\"27\" font-size=\"16\" font-weight=\"bold\" fill=\"#1f2933\" "
        "text-anchor=\"middle\">{0}</text>\n",
        escape_markup(picture_.title), layout_.width / 2);
    for (const auto& cluster : layout_.clusters) write_cluster(cluster);
    for (const auto& edge : layout_.edges) write_edge(edge);
    for (const auto& node : layout_.nodes) write_node(node);
    for (const auto& edge : layout_.edges) write_edge_label(edge);
    put("</svg>\n");
    return std::move(text_);
  }

 private:
  template <typename... Args>
  void put(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
  }

  void write_cluster(const Layout::PlacedCluster& placed) {
    const Picture::Cluster& cluster = picture_.clusters[placed.cluster];
    const bool changed = cluster.change != Change::none;
    const Box& box = placed.box;
    put("<g class=\"cluster\"><title>{}</title>", escape_markup(cluster.path));
    put("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"7\" "
        "fill=\"#8796a8\" fill-opacity=\"0.04\" stroke=\"{}\"{}/>",
        box.left, box.top, box.width, box.height,
        changed ? colours_of(cluster.change).border : "#c3cad3",
        cluster.change == Change::removed ? " stroke-dasharray=\"5 3\"" : "");
    put("<text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"9\" fill=\"{}\">{}{}</text></g>\n",
        box.left + 7, box.top + 12, changed ? colours_of(cluster.change).border : kQuiet,
        mark_of(cluster.change), escape_markup(shorten(last_component(cluster.path), 40)));
  }

  void write_node(const Layout::PlacedNode& placed) {
    const Picture::Node& node = picture_.nodes[placed.node];
    const Colours& colours = colours_of(picture_, node);
    const NodeText text = text_of(node);
    const Box& box = placed.box;
    put("<g class=\"node\"><title>{}</title>", tooltip(node));
    if (has_box(picture_, node)) {
      put("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"{}\" "
          "fill=\"{}\" stroke=\"{}\"{}/>",
          box.left, box.top, box.width, box.height, kRound, colours.fill, colours.border,
          node.change == Change::removed ? " stroke-dasharray=\"5 3\"" : "");
    }
    const double lines = double(text.lines.size());
    const double high = kTitleSize + lines * kLineSize * 1.25;
    double y = box.centre().y - high / 2 + kTitleSize * 0.85;
    put("<text x=\"{0:.1f}\" y=\"{1:.1f}\" font-size=\"{2}\" fill=\"{3}\" "
        "text-anchor=\"middle\"><tspan font-weight=\"bold\">{4}</tspan>",
        box.centre().x, y, kTitleSize, colours.text, escape_markup(text.title));
    if (!text.op.empty()) {
      put("<tspan dx=\"5\" fill-opacity=\"0.75\">{}</tspan>", escape_markup(text.op));
    }
    put("</text>");
    for (const std::string& line : text.lines) {
      y += kLineSize * 1.25;
      put("<text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"{}\" fill=\"{}\" "
          "text-anchor=\"middle\">{}</text>",
          box.centre().x, y, kLineSize, colours.text, escape_markup(line));
    }
    put("</g>\n");
  }

  static std::string tooltip(const Picture::Node& node) {
    std::string text = node.path;
    if (!node.op.empty()) text += "\nop: " + node.op;
    for (const Picture::Attribute& attribute : node.attributes) {
      text += fmt::format("\n{}: {}", attribute.name, attribute.value);
      if (!attribute.before.empty()) text += fmt::format(" (before: {})", attribute.before);
    }
    return escape_lines(text);
  }

  static std::string escape_lines(const std::string& text) {
    std::string out;
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      out += (at == 0 ? "" : "\n") + escape_markup(text.substr(at, end - at));
      at = end + 1;
    }
    return out;
  }

  void write_edge(const Layout::PlacedEdge& placed) {
    const Picture::Edge& edge = picture_.edges[placed.edge];
    const bool changed = edge.change != Change::none;
    const std::string_view colour = changed            ? colours_of(edge.change).border
                                    : picture_.is_diff ? "#aab3bd"
                                                       : "#5b6672";
    put("<g class=\"edge\"><title>{}</title>",
        escape_markup(fmt::format("{} → {}{}{}", edge.from, edge.to, edge.label.empty() ? "" : ": ",
                                  edge.label)));
    put("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\"{}/>",
        placed.curved ? curve(placed.points) : corners(placed.points), colour,
        changed ? "1.8" : "1", edge.change == Change::removed ? " stroke-dasharray=\"5 3\"" : "");
    write_arrow(placed.points.back(), placed.tip, colour);
    put("</g>\n");
  }

  void write_arrow(Point from, Point tip, std::string_view colour) {
    const double length = std::hypot(tip.x - from.x, tip.y - from.y);
    if (length == 0) return;
    const Point along{(tip.x - from.x) / length * 5.5, (tip.y - from.y) / length * 5.5};
    const Point base{tip.x - along.x, tip.y - along.y};
    put("<path d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}L{:.1f} {:.1f}Z\" fill=\"{}\"/>", tip.x, tip.y,
        base.x - along.y * 0.45, base.y + along.x * 0.45, base.x + along.y * 0.45,
        base.y - along.x * 0.45, colour);
  }

  static std::string curve(const std::vector<Point>& points) {
    std::string d = fmt::format("M{:.1f} {:.1f}C", points[0].x, points[0].y);
    for (size_t i = 1; i < points.size(); ++i) {
      d += fmt::format("{}{:.1f} {:.1f}", i > 1 ? " " : "", points[i].x, points[i].y);
    }
    return d;
  }

  /// A line through the points whose corners are round.
  static std::string corners(const std::vector<Point>& points) {
    std::string d = fmt::format("M{:.1f} {:.1f}", points[0].x, points[0].y);
    for (size_t i = 1; i + 1 < points.size(); ++i) {
      const Point a = towards(points[i], points[i - 1]), b = towards(points[i], points[i + 1]);
      d += fmt::format("L{:.1f} {:.1f}Q{:.1f} {:.1f} {:.1f} {:.1f}", a.x, a.y, points[i].x,
                       points[i].y, b.x, b.y);
    }
    return d + fmt::format("L{:.1f} {:.1f}", points.back().x, points.back().y);
  }

  static Point towards(Point from, Point to) {
    const double length = std::hypot(to.x - from.x, to.y - from.y);
    const double part = length == 0 ? 0 : std::min(kRound, length / 2) / length;
    return {from.x + (to.x - from.x) * part, from.y + (to.y - from.y) * part};
  }

  void write_edge_label(const Layout::PlacedEdge& placed) {
    const Picture::Edge& edge = picture_.edges[placed.edge];
    if (edge.label.empty()) return;
    put("<text class=\"shape\" x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"8\" fill=\"{}\" "
        "text-anchor=\"middle\" stroke=\"#ffffff\" stroke-width=\"2.5\" "
        "paint-order=\"stroke\">{}</text>\n",
        placed.label.x, placed.label.y + 2.8,
        edge.change == Change::none ? kQuiet : colours_of(edge.change).border,
        escape_markup(edge.label));
  }

  const Picture& picture_;
  const Layout layout_;
  std::string text_;
};

}  // namespace

std::string to_svg(const Picture& picture) { return SvgWriter(picture).write(); }

}  // namespace expgraph
