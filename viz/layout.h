// layout: Picture -> where everything stands on a page. Long chains are cut into columns; Graphviz
// lays out each column, from top to bottom; edges between columns run in the gutters.
#pragma once

#include <string>
#include <vector>

#include "viz/picture.h"

namespace expgraph {

struct Point {
  double x = 0, y = 0;  ///< points, y grows downwards
};

struct Box {
  double left = 0, top = 0, width = 0, height = 0;
  Point centre() const { return {left + width / 2, top + height / 2}; }
};

struct Layout {
  struct PlacedNode {
    size_t node;  ///< in Picture::nodes
    Box box;
  };
  struct PlacedCluster {
    size_t cluster;  ///< in Picture::clusters; one that spans columns has a box in each
    Box box;
  };
  struct PlacedEdge {
    size_t edge;                ///< in Picture::edges
    std::vector<Point> points;  ///< Bezier (1 + 3k points) or, between columns, corners
    bool curved = true;
    Point tip;    ///< of the arrow; it points from the last of `points`
    Point label;  ///< centre of the label
  };
  double width = 0, height = 0;
  std::vector<PlacedCluster> clusters;  ///< outer ones first
  std::vector<PlacedNode> nodes;
  std::vector<PlacedEdge> edges;
};

/// Deterministic: text is measured by Graphviz's own tables, not by fonts of the machine. Chooses
/// the number of columns whose page is nearest to 4:3. Not for several threads at once (Graphviz
/// is not).
Layout lay_out(const Picture& picture);

/// Column of each node: so many columns (fewer nodes: fewer), of similar height, cut between
/// clusters.
std::vector<size_t> columns_of(const Picture& picture, size_t columns);

}  // namespace expgraph
