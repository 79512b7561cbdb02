// diff: two pictures -> one that shows what was added, removed and changed.
#include "viz/diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace expgraph {
namespace {

template <typename T>
const T* find_path(const std::vector<T>& items, const std::string& path) {
  const auto found =
      std::find_if(items.begin(), items.end(), [&](const T& item) { return item.path == path; });
  return found == items.end() ? nullptr : &*found;
}

Picture::Node merge(const Picture::Node& before, Picture::Node after) {
  std::vector<Picture::Attribute> changes;
  if (before.op != after.op) {
    changes.push_back({.name = "op", .value = after.op, .before = before.op});
  }
  for (Picture::Attribute& attribute : after.attributes) {
    const auto old = std::find_if(before.attributes.begin(), before.attributes.end(),
                                  [&](const auto& other) { return other.name == attribute.name; });
    if (old == before.attributes.end() || old->value == attribute.value) continue;
    changes.push_back({.name = attribute.name, .value = attribute.value, .before = old->value});
  }
  if (changes.empty()) return after;
  after.change = Change::changed;
  after.attributes = std::move(changes);
  return after;
}

/// `after` with what only `before` has put in behind what it stood behind there.
template <typename T>
std::vector<T> merge_lists(const std::vector<T>& before, std::vector<T> after) {
  std::string previous;
  for (const T& item : before) {
    const std::string path = item.path;
    if (find_path(after, path) == nullptr) {
      const auto behind = std::find_if(after.begin(), after.end(),
                                       [&](const T& other) { return other.path == previous; });
      T removed = item;
      removed.change = Change::removed;
      after.insert(behind == after.end() ? after.begin() : behind + 1, std::move(removed));
    }
    previous = path;
  }
  return after;
}

Picture merge(const Picture& before, const Picture& after) {
  Picture out{.is_diff = true};
  out.clusters = after.clusters;
  for (Picture::Cluster& cluster : out.clusters) {
    if (find_path(before.clusters, cluster.path) == nullptr) cluster.change = Change::added;
  }
  out.clusters = merge_lists(before.clusters, std::move(out.clusters));
  for (const Picture::Node& node : after.nodes) {
    const Picture::Node* old = find_path(before.nodes, node.path);
    out.nodes.push_back(old == nullptr ? node : merge(*old, node));
    if (old == nullptr) out.nodes.back().change = Change::added;
  }
  out.nodes = merge_lists(before.nodes, std::move(out.nodes));
  const auto add_edges = [&](const Picture& from, const Picture& other, Change change) {
    for (Picture::Edge edge : from.edges) {
      const bool both =
          std::find(other.edges.begin(), other.edges.end(), edge) != other.edges.end();
      if (both && change == Change::removed) continue;
      if (!both) edge.change = change;
      out.edges.push_back(std::move(edge));
    }
  };
  add_edges(after, before, Change::added);
  add_edges(before, after, Change::removed);
  return out;
}

/// Draws clusters, and runs of nodes, that have nothing to do with a change as one box each.
class Collapser {
 public:
  explicit Collapser(const Picture& picture) : picture_(picture) {
    for (const Picture::Node& node : picture.nodes) {
      if (node.change != Change::none) mark_near(node.path);
    }
  }

  Picture collapse() {
    collapse_clusters();
    collapse_runs();
    Picture out{.title = picture_.title, .is_diff = true};
    for (const Picture::Cluster& cluster : picture_.clusters) {
      const bool inside = boxes_.contains(cluster.path) || !box_of(cluster.path).empty();
      if (!inside) out.clusters.push_back(cluster);
    }
    std::set<std::string> drawn;
    for (const Picture::Node& node : picture_.nodes) {
      const std::string& box = box_[node.path];
      if (box.empty()) {
        out.nodes.push_back(node);
      } else if (drawn.insert(box).second) {
        out.nodes.push_back(boxes_.at(box));
      }
    }
    collapse_edges(out);
    return out;
  }

 private:
  /// The neighbours of a change show where it is.
  void mark_near(const std::string& path) {
    near_.insert(path);
    for (const Picture::Edge& edge : picture_.edges) {
      if (edge.from == path) near_.insert(edge.to);
      if (edge.to == path) near_.insert(edge.from);
    }
  }

  bool changes_inside(const std::string& group) const {
    const auto below = [&](const std::string& path) { return is_below(path, group); };
    return std::any_of(picture_.clusters.begin(), picture_.clusters.end(),
                       [&](const Picture::Cluster& cluster) {
                         return cluster.change != Change::none &&
                                (cluster.path == group || below(cluster.path));
                       }) ||
           std::any_of(picture_.nodes.begin(), picture_.nodes.end(),
                       [&](const Picture::Node& node) {
                         return node.change != Change::none && below(node.path);
                       }) ||
           std::any_of(picture_.edges.begin(), picture_.edges.end(),
                       [&](const Picture::Edge& edge) {
                         return edge.change != Change::none && below(edge.from) && below(edge.to);
                       });
  }

  std::string box_of(const std::string& path) const {
    for (std::string group = parent_path(path); !group.empty(); group = parent_path(group)) {
      if (boxes_.contains(group)) return group;
    }
    return "";
  }

  void collapse_clusters() {
    for (const Picture::Cluster& cluster : picture_.clusters) {
      if (!box_of(cluster.path).empty() || changes_inside(cluster.path)) continue;
      size_t members = 0;
      for (const Picture::Node& node : picture_.nodes) {
        if (!is_below(node.path, cluster.path)) continue;
        box_[node.path] = cluster.path;
        ++members;
      }
      boxes_[cluster.path] = {.path = cluster.path,
                              .title = last_component(cluster.path),
                              .attributes = {{.name = "nodes", .value = std::to_string(members)}}};
    }
  }

  /// Two or more plain neighbours in one cluster, none of them near a change.
  void collapse_runs() {
    std::vector<const Picture::Node*> run;
    const auto flush = [&] {
      if (run.size() >= 2) {
        const std::string path = run.front()->path + "..." + last_component(run.back()->path);
        for (const Picture::Node* node : run) box_[node->path] = path;
        boxes_[path] = {.path = path,
                        .title = run.front()->title + " … " + run.back()->title,
                        .attributes = {{.name = "nodes", .value = std::to_string(run.size())}}};
      }
      run.clear();
    };
    for (const Picture::Node& node : picture_.nodes) {
      const bool plain = box_[node.path].empty() && !near_.contains(node.path) && !moved(node.path);
      if (!plain || (!run.empty() && parent_path(run.back()->path) != parent_path(node.path))) {
        flush();
      }
      if (plain) run.push_back(&node);
    }
    flush();
  }

  /// Whether one of its edges is new or gone.
  bool moved(const std::string& path) const {
    return std::any_of(picture_.edges.begin(), picture_.edges.end(), [&](const auto& edge) {
      return edge.change != Change::none && (edge.from == path || edge.to == path);
    });
  }

  void collapse_edges(Picture& out) {
    const auto end = [&](const std::string& path) {
      const std::string& box = box_[path];
      return box.empty() ? path : box;
    };
    std::set<std::tuple<std::string, std::string, Change>> seen;
    for (Picture::Edge edge : picture_.edges) {
      edge.from = end(edge.from);
      edge.to = end(edge.to);
      if (edge.from == edge.to || !seen.emplace(edge.from, edge.to, edge.change).second) continue;
      out.edges.push_back(std::move(edge));
    }
  }

  const Picture& picture_;
  std::set<std::string> near_;                  ///< changed nodes and their neighbours
  std::map<std::string, Picture::Node> boxes_;  ///< by path
  std::map<std::string, std::string> box_;      ///< node -> the box it is drawn in; "" = itself
};

}  // namespace

Picture diff_picture(const Picture& before, const Picture& after, std::string title) {
  Picture merged = merge(before, after);
  merged.title = std::move(title);
  return Collapser(merged).collapse();
}

}  // namespace expgraph
