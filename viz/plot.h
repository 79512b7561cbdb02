// plot: lines with bands over two axes -> SVG.
#pragma once

#include <string>
#include <vector>

namespace expgraph {

struct Plot {
  struct Point {
    double x = 0, y = 0;
    double low = 0, high = 0;  ///< of the band; both y where there is none
  };
  struct Line {
    std::string name;
    std::vector<Point> points;  ///< x does not fall; values are finite
    bool dashed = false;
  };
  std::string title;
  std::string x_label;
  std::string y_label;
  std::vector<Line> lines;
};

/// Deterministic; without ids, scripts, styles or references, colours as attributes and a class on
/// each part ("line k0", "band k0", "grid"), so that a page may give others. Names are untrusted
/// and escaped. Long lines are thinned to what a page can show.
std::string to_svg(const Plot& plot);

/// Marks between low and high, 3 to 8 of them, at multiples of 1, 2 or 5 x 10^k.
std::vector<double> ticks(double low, double high);

}  // namespace expgraph
