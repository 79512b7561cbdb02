// columns: the nodes of a picture in document order -> the column that each is drawn in.
#include <algorithm>
#include <limits>

#include "viz/layout.h"

namespace expgraph {
namespace {

constexpr double kCut = 1.5;  // cost of a cut, for each cluster that it goes through
constexpr double kNever = std::numeric_limits<double>::infinity();

double clusters_cut(const Picture& picture, const std::string& a, const std::string& b) {
  return double(std::count_if(picture.clusters.begin(), picture.clusters.end(),
                              [&](const Picture::Cluster& cluster) {
                                return is_below(a, cluster.path) && is_below(b, cluster.path);
                              }));
}

}  // namespace

std::vector<size_t> columns_of(const Picture& picture, size_t columns) {
  const size_t count = picture.nodes.size();
  columns = std::min(columns, count);
  const double rows = double(count) / double(std::max<size_t>(columns, 1));
  std::vector<double> cut(count + 1, 0);
  for (size_t i = 1; i < count; ++i) {
    cut[i] = kCut * clusters_cut(picture, picture.nodes[i - 1].path, picture.nodes[i].path);
  }
  // best[c][i]: cheapest way to draw the first i nodes in c columns; squares of how far heights are
  // off, and cuts.
  std::vector best(columns + 1, std::vector<double>(count + 1, kNever));
  std::vector from(columns + 1, std::vector<size_t>(count + 1, 0));
  best[0][0] = 0;
  for (size_t c = 1; c <= columns; ++c) {
    for (size_t i = c; i <= count; ++i) {
      for (size_t j = c - 1; j < i; ++j) {
        const double off = (double(i - j) - rows) / rows;
        const double cost = best[c - 1][j] + off * off + cut[j];
        if (cost >= best[c][i]) continue;
        best[c][i] = cost;
        from[c][i] = j;
      }
    }
  }
  std::vector<size_t> column(count, 0);
  size_t end = count;
  for (size_t c = columns; c > 0; --c) {
    const size_t start = from[c][end];
    std::fill(column.begin() + static_cast<ptrdiff_t>(start),
              column.begin() + static_cast<ptrdiff_t>(end), c - 1);
    end = start;
  }
  return column;
}

}  // namespace expgraph
