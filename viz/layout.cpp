// layout: Picture -> where everything stands on a page.
#include "viz/layout.h"

#include <graphviz/cgraph.h>
#include <graphviz/gvc.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <optional>

#include "core/support/diagnostics.h"
#include "viz/dot.h"
#include "viz/escape.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

extern "C" {
extern gvplugin_library_t gvplugin_core_LTX_library;
extern gvplugin_library_t gvplugin_dot_layout_LTX_library;
}

namespace expgraph {
namespace {

constexpr double kPoints = 72;  // of an inch, Graphviz's unit of node sizes
constexpr double kMargin = 10;  // around the page
constexpr double kTitle = 34;   // above the columns
constexpr double kGutter = 22;  // between columns, plus kLane for each edge in it
constexpr double kLane = 7;     // between edges that run side by side
constexpr double kAside = 9;    // above or below a node whose side is blocked
constexpr double kArrow = 5;
constexpr double kPageShape = 1.33;  // width / height
constexpr size_t kMostColumns = 9;
constexpr size_t kShort = 10;  // nodes that need no second column

/// Only these plug-ins: no search for others, no fonts.
class Context {
 public:
  Context() : context_(gvContextPlugins(plugins_.data(), 0)) { agseterr(AGMAX); }
  ~Context() { gvFreeContext(context_); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  GVC_t* get() const { return context_; }

 private:
  std::array<lt_symlist_t, 3> plugins_{
      {{"gvplugin_core_LTX_library", &gvplugin_core_LTX_library},
       {"gvplugin_dot_layout_LTX_library", &gvplugin_dot_layout_LTX_library},
       {nullptr, nullptr}}};
  GVC_t* context_;
};

/// While it lives, the leak checker does not count what is allocated: dot loses some of its virtual
/// nodes and edges (Graphviz 2.43, up to 1 MiB a drawing).
struct DotLeaks {
#ifdef __SANITIZE_ADDRESS__
  __lsan::ScopedDisabler disabler;
#endif
};

/// A graph of Graphviz with its layout.
class LaidOut {
 public:
  LaidOut(const Context& context, const std::string& dot)
      : context_(context), graph_(agmemread(dot.c_str())) {
    EXPGRAPH_CHECK(graph_ != nullptr);
    [[maybe_unused]] const DotLeaks known;
    EXPGRAPH_CHECK(gvLayout(context_.get(), graph_, "dot") == 0);
  }
  ~LaidOut() {
    gvFreeLayout(context_.get(), graph_);
    agclose(graph_);
  }
  LaidOut(const LaidOut&) = delete;
  LaidOut& operator=(const LaidOut&) = delete;

  Agraph_t* graph() const { return graph_; }
  double width() const { return GD_bb(graph_).UR.x - GD_bb(graph_).LL.x; }
  double height() const { return GD_bb(graph_).UR.y - GD_bb(graph_).LL.y; }

  Box box(const Picture::Node& node) const {
    Agnode_t* found = agnode(graph_, dot_id(node.path).data(), 0);
    EXPGRAPH_CHECK(found != nullptr);
    const double wide = ND_width(found) * kPoints, high = ND_height(found) * kPoints;
    const Point at = point(ND_coord(found));
    return {at.x - wide / 2, at.y - high / 2, wide, high};
  }

  Box box(const Picture::Cluster& cluster) const {
    Agraph_t* found = find_cluster(graph_, "cluster_" + dot_id(cluster.path));
    EXPGRAPH_CHECK(found != nullptr);
    const Point low = point(GD_bb(found).LL), high = point(GD_bb(found).UR);
    return {low.x, high.y, high.x - low.x, low.y - high.y};
  }

  Point point(pointf p) const { return {p.x - GD_bb(graph_).LL.x, GD_bb(graph_).UR.y - p.y}; }

 private:
  static Agraph_t* find_cluster(Agraph_t* in, const std::string& wanted) {
    for (Agraph_t* sub = agfstsubg(in); sub != nullptr; sub = agnxtsubg(sub)) {
      if (wanted == agnameof(sub)) return sub;
      if (Agraph_t* found = find_cluster(sub, wanted)) return found;
    }
    return nullptr;
  }

  const Context& context_;
  Agraph_t* graph_;
};

struct Column {
  Picture picture;
  std::vector<size_t> nodes, clusters, edges;  // of the whole picture
};

bool holds(const Column& column, const std::string& path) {
  return std::any_of(column.picture.nodes.begin(), column.picture.nodes.end(),
                     [&](const Picture::Node& node) { return node.path == path; });
}

std::vector<Column> split(const Picture& picture, size_t wanted) {
  const std::vector<size_t> of_node = columns_of(picture, wanted);
  std::vector<Column> columns(of_node.empty() ? 1 : of_node.back() + 1);
  for (size_t i = 0; i < picture.nodes.size(); ++i) {
    columns[of_node[i]].nodes.push_back(i);
    columns[of_node[i]].picture.nodes.push_back(picture.nodes[i]);
  }
  for (Column& column : columns) {
    column.picture.is_diff = picture.is_diff;
    for (size_t i = 0; i < picture.clusters.size(); ++i) {
      const std::string& path = picture.clusters[i].path;
      const bool used =
          std::any_of(column.picture.nodes.begin(), column.picture.nodes.end(),
                      [&](const Picture::Node& node) { return is_below(node.path, path); });
      if (!used) continue;
      column.clusters.push_back(i);
      column.picture.clusters.push_back(picture.clusters[i]);
    }
    for (size_t i = 0; i < picture.edges.size(); ++i) {
      const Picture::Edge& edge = picture.edges[i];
      if (!holds(column, edge.from) || !holds(column, edge.to)) continue;
      column.edges.push_back(i);
      column.picture.edges.push_back(edge);
    }
  }
  return columns;
}

/// Lays out a picture in so many columns.
class Page {
 public:
  Page(const Context& context, const Picture& picture, size_t columns)
      : picture_(picture), columns_(split(picture, columns)) {
    plan_lanes();
    page_.height = kTitle + kMargin;
    double left = kMargin + gutter_width(0);
    const double top = kMargin + kTitle + kLane * double(over_top_);
    for (size_t c = 0; c < columns_.size(); ++c) {
      const LaidOut laid(context, to_dot(columns_[c].picture));
      place(laid, columns_[c], {left, top});
      left += laid.width() + gutter_width(c + 1);
      gutters_.push_back(left - gutter_width(c + 1));
      page_.height = std::max(page_.height, top + laid.height() + kMargin);
    }
    page_.width = left + kMargin;
    std::stable_sort(page_.clusters.begin(), page_.clusters.end(),
                     [](const auto& a, const auto& b) { return a.cluster < b.cluster; });
    for (const size_t edge : between_) route(edge);
  }

  Layout take() { return std::move(page_); }

 private:
  size_t column_of(const std::string& path) const {
    const auto found = std::find_if(columns_.begin(), columns_.end(),
                                    [&](const Column& column) { return holds(column, path); });
    EXPGRAPH_CHECK(found != columns_.end());
    return static_cast<size_t>(found - columns_.begin());
  }

  /// Gutter g lies left of column g. An edge leaves in the gutter right of its column and arrives
  /// in the one left of its reader's.
  void plan_lanes() {
    lanes_.assign(columns_.size() + 1, 0);
    for (size_t i = 0; i < picture_.edges.size(); ++i) {
      const size_t from = column_of(picture_.edges[i].from), to = column_of(picture_.edges[i].to);
      if (from == to) continue;
      between_.push_back(i);
      ++lanes_[from + 1];
      if (to != from + 1) {
        ++lanes_[to];
        ++over_top_;
      }
    }
    next_lane_.assign(lanes_.size(), 0);
  }

  double gutter_width(size_t g) const {
    const bool inner = g > 0 && g < columns_.size();
    return (inner ? kGutter : 0) + kLane * double(lanes_[g]);
  }

  double lane(size_t g) {
    const double left = g == 0 ? kMargin : gutters_[g - 1];
    const bool inner = g > 0 && g < columns_.size();
    return left + (inner ? kGutter / 2 : 0) + kLane * (double(next_lane_[g]++) + 0.5);
  }

  void place(const LaidOut& laid, const Column& column, Point origin) {
    const auto shift = [&](Box box) {
      box.left += origin.x;
      box.top += origin.y;
      return box;
    };
    for (size_t i = 0; i < column.clusters.size(); ++i) {
      page_.clusters.push_back({column.clusters[i], shift(laid.box(column.picture.clusters[i]))});
    }
    for (size_t i = 0; i < column.nodes.size(); ++i) {
      page_.nodes.push_back({column.nodes[i], shift(laid.box(column.picture.nodes[i]))});
      boxes_[column.picture.nodes[i].path] = page_.nodes.back().box;
    }
    place_edges(laid, column, origin);
  }

  /// Graphviz keeps the edges between two nodes in the order in which DOT names them.
  void place_edges(const LaidOut& laid, const Column& column, Point origin) {
    std::map<std::pair<std::string, std::string>, std::vector<size_t>> waiting;
    for (size_t i = column.edges.size(); i-- > 0;) {
      const Picture::Edge& edge = column.picture.edges[i];
      waiting[{dot_id(edge.from), dot_id(edge.to)}].push_back(column.edges[i]);
    }
    const auto at = [&](pointf p) {
      const Point point = laid.point(p);
      return Point{point.x + origin.x, point.y + origin.y};
    };
    for (Agnode_t* n = agfstnode(laid.graph()); n != nullptr; n = agnxtnode(laid.graph(), n)) {
      for (Agedge_t* e = agfstout(laid.graph(), n); e != nullptr; e = agnxtout(laid.graph(), e)) {
        std::vector<size_t>& same = waiting[{agnameof(agtail(e)), agnameof(aghead(e))}];
        EXPGRAPH_CHECK(!same.empty() && ED_spl(e) != nullptr && ED_spl(e)->size > 0);
        const bezier& curve = ED_spl(e)->list[0];
        Layout::PlacedEdge placed{.edge = same.back()};
        same.pop_back();
        for (int k = 0; k < curve.size; ++k) placed.points.push_back(at(curve.list[k]));
        placed.tip = curve.eflag != 0 ? at(curve.ep) : placed.points.back();
        if (ED_label(e) != nullptr) placed.label = at(ED_label(e)->pos);
        page_.edges.push_back(std::move(placed));
      }
    }
  }

  /// The nodes of the column that stand beside `box`, between it and a gutter: what they cover from
  /// top to bottom, nothing when there are none.
  std::optional<Box> beside(size_t column, const Box& box, bool left) const {
    std::optional<Box> all;
    for (const Picture::Node& node : columns_[column].picture.nodes) {
      const Box& other = boxes_.at(node.path);
      const double y = box.centre().y;
      const bool level = other.top <= y && y <= other.top + other.height;
      if (!level || (left ? other.left >= box.left : other.left <= box.left)) continue;
      if (!all) all = box;
      const double top = std::min(all->top, other.top);
      all->height = std::max(all->top + all->height, other.top + other.height) - top;
      all->top = top;
    }
    return all;
  }

  /// From the side of one node to the side of the other; below and above where the side is blocked.
  void route(size_t index) {
    const Picture::Edge& edge = picture_.edges[index];
    const size_t from = column_of(edge.from), to = column_of(edge.to);
    const Box& start = boxes_.at(edge.from);
    const Box& end = boxes_.at(edge.to);
    const std::optional<Box> below = beside(from, start, false), above = beside(to, end, true);
    const double y0 = below ? below->top + below->height + kAside : start.centre().y;
    const double y1 = above ? above->top - kAside : end.centre().y;
    Layout::PlacedEdge placed{.edge = index, .curved = false};
    if (below) {
      placed.points = {{start.centre().x, start.top + start.height}, {start.centre().x, y0}};
    } else {
      placed.points = {{start.left + start.width, y0}};
    }
    const double out = lane(from + 1);
    placed.points.push_back({out, y0});
    double turn = y1;
    if (to == from + 1) {
      placed.points.push_back({out, y1});
    } else {
      const double in = lane(to);
      turn = kMargin + kTitle + kLane * (double(next_over_++) + 0.5);
      placed.points.insert(placed.points.end(), {{out, turn}, {in, turn}, {in, y1}});
    }
    if (above) {
      placed.points.insert(placed.points.end(),
                           {{end.centre().x, y1}, {end.centre().x, end.top - kArrow}});
      placed.tip = {end.centre().x, end.top};
    } else {
      placed.points.push_back({end.left - kArrow, y1});
      placed.tip = {end.left, y1};
    }
    placed.label = {out, (y0 + turn) / 2};
    page_.edges.push_back(std::move(placed));
  }

  const Picture& picture_;
  std::vector<Column> columns_;
  std::vector<size_t> between_;  // edges from one column to another
  std::vector<size_t> lanes_, next_lane_;
  size_t over_top_ = 0, next_over_ = 0;
  std::vector<double> gutters_;  // left end of gutter g + 1
  std::map<std::string, Box> boxes_;
  Layout page_;
};

}  // namespace

Layout lay_out(const Picture& picture) {
  const Context context;
  const size_t most = picture.nodes.size() <= kShort ? 1 : kMostColumns;
  Layout best;
  double best_off = std::numeric_limits<double>::infinity();
  for (size_t columns = 1; columns <= most; ++columns) {
    Layout layout = Page(context, picture, columns).take();
    const double off = std::abs(std::log(layout.width / layout.height / kPageShape));
    if (off < best_off) {
      best_off = off;
      best = std::move(layout);
    }
  }
  return best;
}

}  // namespace expgraph
