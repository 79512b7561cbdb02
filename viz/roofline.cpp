// roofline: a benched step -> its nodes under the machine's roof, as SVG.
#include "viz/roofline.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "viz/markup.h"

namespace expgraph {
namespace {

constexpr double kWidth = 860, kPlotHeight = 470;
constexpr double kLeft = 62, kRight = 20, kTop = 54, kBelow = 48;
constexpr double kLegendRow = 19;
constexpr size_t kLegendColumns = 2;
constexpr double kLeastShare = 1e-4;  // of the time: what takes less does not widen the axes
constexpr double kLargest = 60;       // radius of a node that takes all the time
constexpr std::array<std::string_view, 9> kColours{"#3b76d6", "#d9772e", "#2f9e63",
                                                   "#d1456b", "#8562d8", "#1f97a6",
                                                   "#a48c3f", "#c04fb4", "#7b8794"};
constexpr std::string_view kDark =
    "<style>@media (prefers-color-scheme: dark) { .paper { fill: #14181d } .name { fill: #e6eaee } "
    ".tick { fill: #a9b4bf } .grid { stroke: #2b333c } .axis, .roof { stroke: #a9b4bf } "
    "}</style>\n";

/// Whole decades around what is drawn.
struct Decades {
  double low = 0, high = 0;
  bool any = false;
  void add(double value) {
    const double at = std::log10(value);
    low = any ? std::min(low, std::floor(at)) : std::floor(at);
    high = any ? std::max(high, std::ceil(at)) : std::ceil(at);
    any = true;
  }
  /// From 0 to 1; what lies beyond is put on the edge.
  double part(double value) const {
    return std::clamp((std::log10(value) - low) / (high - low), 0.0, 1.0);
  }
};

double intensity(const TimedNode& node) {
  return double(node.cost.flops) / double(node.cost.bytes);
}
double gflops(const TimedNode& node) { return double(node.cost.flops) / node.seconds * 1e-9; }
bool has_place(const TimedNode& node) {
  return node.cost.flops > 0 && node.cost.bytes > 0 && node.seconds > 0;
}

class Writer : PlotMarkup {
 public:
  Writer(const BenchResult& result, const std::string& title) : result_(result), title_(title) {
    const Peaks& peaks = result.peaks;
    for (const TimedNode& node : result.nodes) {
      total_ += node.seconds;
    }
    for (const TimedNode& node : result.nodes) {
      if (!has_place(node) || node.seconds < kLeastShare * total_) continue;
      x_.add(intensity(node));
      y_.add(gflops(node));
    }
    const double ridge = peaks.gflops / peaks.gbytes;
    x_.add(ridge / 10);
    x_.add(ridge * 10);
    y_.add(peaks.gflops);
    y_.add(peaks.gflops / 100);
  }

  std::string write() {
    const size_t rows = (legend_entries() + kLegendColumns - 1) / kLegendColumns;
    const double height = kTop + kPlotHeight + kBelow + kLegendRow * double(rows + 1) + 8;
    put("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
        "viewBox=\"0 0 {0:.0f} {1:.0f}\" font-family=\"Helvetica,Arial,sans-serif\" "
        "font-size=\"12\">\n<title>{2}</title>\n{3}"
        "<rect class=\"paper\" width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        kWidth, height, escape_markup(title_), kDark);
    text("name", kLeft, 22, "start", title_, "font-size=\"15\" font-weight=\"bold\" ");
    text("tick", kLeft, 41, "start", "GFLOP/s; area of a circle: its share of the time");
    write_grid();
    write_roof();
    write_nodes();
    write_peaks();
    for (size_t k = 0; k < legend_entries(); ++k) write_legend(k);
    write_left_out(kTop + kPlotHeight + kBelow + kLegendRow * double(rows) + 12);
    return out_ + "</svg>\n";
  }

 private:
  double left(double x) const { return kLeft + x_.part(x) * (kWidth - kLeft - kRight); }
  double top(double y) const { return kTop + (1 - y_.part(y)) * kPlotHeight; }

  void write_grid() {
    const double bottom = kTop + kPlotHeight, right = kWidth - kRight;
    for (double power = x_.low; power <= x_.high; ++power) {
      const double value = std::pow(10, power);
      put("<path class=\"grid\" d=\"M{:.1f} {:.1f}V{:.1f}\" stroke=\"#e3e7ec\"/>\n", left(value),
          kTop, bottom);
      text("tick", left(value), bottom + 17, "middle", fmt::format("{:g}", value));
    }
    for (double power = y_.low; power <= y_.high; ++power) {
      const double value = std::pow(10, power);
      put("<path class=\"grid\" d=\"M{:.1f} {:.1f}H{:.1f}\" stroke=\"#e3e7ec\"/>\n", kLeft,
          top(value), right);
      text("tick", kLeft - 8, top(value) + 4, "end", fmt::format("{:g}", value));
    }
    put("<path class=\"axis\" d=\"M{:.1f} {:.1f}V{:.1f}H{:.1f}\" stroke=\"#8793a0\" "
        "fill=\"none\"/>\n",
        kLeft, kTop, bottom, right);
    text("tick", (kLeft + right) / 2, bottom + 37, "middle",
         "operations for each byte that is read or written");
  }

  /// Where the slope enters the plot: on its left side or on its bottom.
  double slope_start() const {
    return std::max(std::pow(10, x_.low), std::pow(10, y_.low) / result_.peaks.gbytes);
  }

  void write_roof() {
    const Peaks& peaks = result_.peaks;
    const double ridge = peaks.gflops / peaks.gbytes;
    const double start = slope_start();
    put("<path class=\"roof\" d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}H{:.1f}\" stroke=\"#3d4650\" "
        "stroke-width=\"1.8\" fill=\"none\"/>\n",
        left(start), top(start * peaks.gbytes), left(ridge), top(peaks.gflops), kWidth - kRight);
  }

  /// After the nodes, so that none hides them.
  void write_peaks() {
    const Peaks& peaks = result_.peaks;
    const double ridge = peaks.gflops / peaks.gbytes;
    text("name", left(ridge), top(peaks.gflops) - 8, "middle",
         fmt::format("product of matrices {:.0f} GFLOP/s", peaks.gflops));
    const double start = slope_start();
    const double x = left(std::sqrt(start * ridge));
    const double y = top(std::sqrt(start * ridge) * peaks.gbytes);
    const double rise = top(start * peaks.gbytes) - top(peaks.gflops);
    const double angle = std::atan2(rise, left(ridge) - left(start)) * 180 / M_PI;
    text("name", x, y - 8, "middle", fmt::format("memory {:.1f} GB/s", peaks.gbytes),
         fmt::format("transform=\"rotate({:.1f} {:.1f} {:.1f})\" ", -angle, x, y));
  }

  /// Operators by their time; those beyond the colours share the last one.
  std::string_view colour(size_t k) const { return kColours[std::min(k, kColours.size() - 1)]; }

  void write_nodes() {
    std::vector<const TimedNode*> nodes;
    for (const TimedNode& node : result_.nodes) {
      if (has_place(node)) nodes.push_back(&node);
    }
    // The small ones last, so that none is hidden.
    std::stable_sort(nodes.begin(), nodes.end(),
                     [](const auto* a, const auto* b) { return a->seconds > b->seconds; });
    for (const TimedNode* node : nodes) {
      const auto found = std::find_if(result_.operators.begin(), result_.operators.end(),
                                      [&](const auto& op) { return op.name == node->name; });
      const auto k = static_cast<size_t>(found - result_.operators.begin());
      const double share = node->seconds / total_;
      put("<circle class=\"node\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\" fill=\"{}\" "
          "fill-opacity=\"0.5\" stroke=\"{}\"><title>{}</title></circle>\n",
          left(intensity(*node)), top(gflops(*node)), std::max(2.5, kLargest * std::sqrt(share)),
          colour(k), colour(k),
          escape_markup(fmt::format("{} {}: {:.3f} ms ({:.1f} %), {:.1f} GFLOP/s, {:.1f} GB/s",
                                    node->path, node->name, node->seconds * 1e3, share * 100,
                                    gflops(*node),
                                    double(node->cost.bytes) / node->seconds * 1e-9)));
    }
  }

  size_t legend_entries() const { return std::min(result_.operators.size(), kColours.size()); }

  std::string legend_words(size_t k) const {
    const OperatorTime& op = result_.operators[k];
    if (k + 1 < kColours.size() || k + 1 == result_.operators.size()) {
      return fmt::format("{} ×{}: {:.1f} %", shorten(op.name, 40), op.nodes,
                         op.seconds / total_ * 100);
    }
    double seconds = 0;
    for (size_t n = k; n < result_.operators.size(); ++n) seconds += result_.operators[n].seconds;
    return fmt::format("{} other operators: {:.1f} %", result_.operators.size() - k,
                       seconds / total_ * 100);
  }

  void write_legend(size_t k) {
    const size_t rows = (legend_entries() + kLegendColumns - 1) / kLegendColumns;
    const double x = kLeft + double(k / rows) * (kWidth - kLeft - kRight) / kLegendColumns;
    const double y = kTop + kPlotHeight + kBelow + kLegendRow * double(k % rows) + 12;
    put("<circle class=\"legend\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"5\" fill=\"{}\" "
        "fill-opacity=\"0.5\" stroke=\"{}\"/>\n",
        x + 5, y - 4, colour(k), colour(k));
    text("tick", x + 17, y, "start", legend_words(k));
  }

  void write_left_out(double y) {
    int64_t count = 0;
    double seconds = 0;
    for (const TimedNode& node : result_.nodes) {
      if (has_place(node)) continue;
      ++count;
      seconds += node.seconds;
    }
    if (count == 0) return;
    text("tick", kLeft, y, "start",
         fmt::format("not drawn, without floating point operations: {} nodes, {:.1f} % of the time",
                     count, seconds / total_ * 100));
  }

  const BenchResult& result_;
  const std::string& title_;
  Decades x_, y_;
  double total_ = 0;
};

}  // namespace

std::string roofline_svg(const BenchResult& result, const std::string& title) {
  return Writer(result, title).write();
}

}  // namespace expgraph
