// plot: lines with bands over two axes -> SVG.
#include "viz/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "viz/markup.h"

namespace expgraph {
namespace {

constexpr double kWidth = 440, kPlotHeight = 210;
constexpr double kLeft = 52, kRight = 14, kTop = 30, kBelow = 38;
constexpr double kLegendRow = 15;
constexpr size_t kMostPoints = 200;
constexpr size_t kNameColumns = 30;  // of a name in the legend
constexpr std::array<std::string_view, 9> kColours{"#2b5fb4", "#c2682a", "#2c8a5a",
                                                   "#b93a54", "#6b4bbd", "#1d7f8c",
                                                   "#8f7d4a", "#59636e", "#a3328f"};

struct Range {
  double low = 0, high = 1;
  bool any = false;
  double span() const { return high - low; }
  void add(double value) {
    low = any ? std::min(low, value) : value;
    high = any ? std::max(high, value) : value;
    any = true;
  }
};

/// Wider by a little, and never empty.
Range padded(Range range) {
  if (range.span() == 0) {
    const double some = range.low == 0 ? 1 : std::abs(range.low) * 0.1;
    return {range.low - some, range.high + some};
  }
  return {range.low - 0.04 * range.span(), range.high + 0.04 * range.span()};
}

std::string tick_text(double value, double step) {
  const double size = std::max(std::abs(value), step);
  if (size >= 1e5 || step < 1e-4) return fmt::format("{:.3g}", value);
  const int decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9)));
  const std::string text = fmt::format("{:.{}f}", value, decimals);
  return text == "-0" ? "0" : text;
}

/// Every k-th point and the last.
std::vector<Plot::Point> thinned(const std::vector<Plot::Point>& points) {
  if (points.size() <= kMostPoints) return points;
  const size_t step = (points.size() + kMostPoints - 1) / kMostPoints;
  std::vector<Plot::Point> out;
  for (size_t i = 0; i + 1 < points.size(); i += step) out.push_back(points[i]);
  out.push_back(points.back());
  return out;
}

class Writer : PlotMarkup {
 public:
  explicit Writer(const Plot& plot) : plot_(plot) {
    for (const Plot::Line& line : plot.lines) {
      for (const Plot::Point& point : line.points) {
        x_.add(point.x);
        for (const double y : {point.y, point.low, point.high}) y_.add(y);
      }
    }
    if (x_.any && x_.low > 0 && x_.low < 0.2 * x_.high) x_.low = 0;
    if (x_.span() == 0) x_ = padded(x_);
    const bool negative = y_.low < 0;
    y_ = padded(y_);
    if (!negative) y_.low = std::max(y_.low, 0.0);
  }

  std::string write() {
    const double height = kTop + kPlotHeight + kBelow + kLegendRow * double(legend_rows());
    put("<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" width=\"{0:.0f}\" "
        "height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
        "font-family=\"Helvetica,Arial,sans-serif\" font-size=\"10\">\n<title>{2}</title>\n"
        "<rect class=\"paper\" width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        kWidth, height, escape_markup(plot_.title));
    text("name", kLeft, 16, "start", plot_.title, "font-size=\"12\" font-weight=\"bold\" ");
    write_axes();
    for (size_t k = 0; k < plot_.lines.size(); ++k) write_band(k);
    for (size_t k = 0; k < plot_.lines.size(); ++k) write_line(k);
    for (size_t k = 0; k < plot_.lines.size(); ++k) write_legend(k);
    return out_ + "</svg>\n";
  }

 private:
  double left(double x) const {
    return kLeft + (x - x_.low) / x_.span() * (kWidth - kLeft - kRight);
  }
  double top(double y) const { return kTop + (y_.high - y) / y_.span() * kPlotHeight; }

  void write_axes() {
    const double bottom = kTop + kPlotHeight, right = kWidth - kRight;
    const std::vector<double> ys = ticks(y_.low, y_.high), xs = ticks(x_.low, x_.high);
    for (const double y : ys) {
      put("<path class=\"grid\" d=\"M{:.1f} {:.1f}H{:.1f}\" stroke=\"#e3e7ec\"/>\n", kLeft, top(y),
          right);
      text("tick", kLeft - 6, top(y) + 3.5, "end", tick_text(y, ys.size() > 1 ? ys[1] - ys[0] : 1));
    }
    for (const double x : xs) {
      put("<path class=\"axis\" d=\"M{:.1f} {:.1f}v4\" stroke=\"#8793a0\"/>\n", left(x), bottom);
      text("tick", left(x), bottom + 15, "middle", tick_text(x, xs.size() > 1 ? xs[1] - xs[0] : 1));
    }
    put("<path class=\"axis\" d=\"M{:.1f} {:.1f}H{:.1f}\" stroke=\"#8793a0\"/>\n", kLeft, bottom,
        right);
    text("tick", (kLeft + right) / 2, bottom + 29, "middle", plot_.x_label);
    text("tick", kWidth - kRight, 16, "end", plot_.y_label);
  }

  std::string_view colour(size_t k) const { return kColours[k % kColours.size()]; }

  /// Of a dashed line, and of all beyond the colours there are.
  std::string_view dash(size_t k) const {
    if (k >= kColours.size()) return " stroke-dasharray=\"6 2 1 2\"";
    return plot_.lines[k].dashed ? " stroke-dasharray=\"5 3\"" : "";
  }

  void write_band(size_t k) {
    const std::vector<Plot::Point> points = thinned(plot_.lines[k].points);
    const bool has_band = std::any_of(points.begin(), points.end(),
                                      [](const auto& point) { return point.low != point.high; });
    if (!has_band) return;
    std::string d;
    for (const auto& point : points) {
      d += fmt::format("{}{:.1f} {:.1f}", d.empty() ? "M" : "L", left(point.x), top(point.high));
    }
    for (auto point = points.rbegin(); point != points.rend(); ++point) {
      d += fmt::format("L{:.1f} {:.1f}", left(point->x), top(point->low));
    }
    put("<path class=\"band k{}\" d=\"{}Z\" fill=\"{}\" fill-opacity=\"0.14\"/>\n",
        k % kColours.size(), d, colour(k));
  }

  void write_line(size_t k) {
    const Plot::Line& line = plot_.lines[k];
    const std::vector<Plot::Point> points = thinned(line.points);
    if (points.empty()) return;
    put("<g class=\"line k{}\" stroke=\"{}\" fill=\"none\"><title>{}</title>", k % kColours.size(),
        colour(k),
        escape_markup(
            fmt::format("{}: {:.6g} at {:.6g}", line.name, points.back().y, points.back().x)));
    if (points.size() == 1) {
      put("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.5\"/>", left(points[0].x), top(points[0].y));
    } else {
      std::string d;
      for (const auto& point : points) {
        d += fmt::format("{}{:.1f} {:.1f}", d.empty() ? "M" : "L", left(point.x), top(point.y));
      }
      put("<path d=\"{}\" stroke-width=\"1.6\" stroke-linejoin=\"round\"{}/>", d, dash(k));
    }
    put("</g>\n");
  }

  size_t legend_rows() const { return (plot_.lines.size() + 1) / 2; }

  void write_legend(size_t k) {
    const double x = kLeft + double(k % 2) * (kWidth - kLeft - kRight) / 2;
    const double y = kTop + kPlotHeight + kBelow + kLegendRow * double(k / 2) + 6;
    put("<path class=\"line k{}\" d=\"M{:.1f} {:.1f}h18\" stroke=\"{}\" stroke-width=\"2\"{}/>\n",
        k % kColours.size(), x, y, colour(k), dash(k));
    text("tick", x + 23, y + 3.5, "start", shorten(plot_.lines[k].name, kNameColumns));
  }

  const Plot& plot_;
  Range x_, y_;
};

}  // namespace

std::vector<double> ticks(double low, double high) {
  const double rough = (high - low) / 5;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = power;
  for (const double factor : {2.0, 5.0, 10.0}) {
    if (step < rough * 0.99) step = factor * power;
  }
  std::vector<double> out;
  for (double k = std::ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; ++k) {
    out.push_back(k == 0 ? 0 : k * step);
  }
  return out;
}

std::string to_svg(const Plot& plot) { return Writer(plot).write(); }

}  // namespace expgraph
