// statistics: samples of a number -> mean, spread, the confidence interval of their mean, tests.
#include "core/study/statistics.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <numeric>

#include "core/support/diagnostics.h"

namespace expgraph {

Summary summarise(std::span<const double> values) {
  Summary out{.n = static_cast<int>(values.size())};
  if (values.empty()) return out;
  for (const double value : values) out.mean += value;
  out.mean /= out.n;
  double squares = 0;
  for (const double value : values) squares += (value - out.mean) * (value - out.mean);
  if (out.n > 1) out.deviation = std::sqrt(squares / (out.n - 1));
  return out;
}

double student_t_quantile(double probability, double degrees) {
  EXPGRAPH_CHECK(probability > 0 && probability < 1 && degrees > 0);
  return boost::math::quantile(boost::math::students_t(degrees), probability);
}

Interval confidence_interval(std::span<const double> differences, double confidence) {
  const Summary summary = summarise(differences);
  Interval out{.n = summary.n, .mean = summary.mean};
  if (summary.n < 2) return out;
  const double quantile = student_t_quantile(0.5 + confidence / 2, summary.n - 1);
  out.half_width = quantile * summary.deviation / std::sqrt(summary.n);
  return out;
}

std::optional<double> paired_p(std::span<const double> differences) {
  const Summary summary = summarise(differences);
  if (summary.n < 2) return std::nullopt;
  if (summary.deviation <= 1e-9 * std::abs(summary.mean)) {  // equal but for rounding
    return summary.mean == 0 ? std::optional<double>(1) : std::nullopt;
  }
  const double t = std::abs(summary.mean) / (summary.deviation / std::sqrt(summary.n));
  const boost::math::students_t distribution(summary.n - 1);
  return 2 * boost::math::cdf(boost::math::complement(distribution, t));
}

std::vector<double> holm(std::span<const double> p) {
  std::vector<size_t> order(p.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] < p[b]; });
  std::vector<double> out(p.size());
  double largest = 0;
  for (size_t k = 0; k < order.size(); ++k) {
    largest = std::max(largest, double(p.size() - k) * p[order[k]]);
    out[order[k]] = std::min(1.0, largest);
  }
  return out;
}

}  // namespace expgraph
