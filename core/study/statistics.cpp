// statistics: samples of a number -> mean, spread, and a confidence interval of their mean.
#include "core/study/statistics.h"

#include <boost/math/distributions/students_t.hpp>
#include <cmath>

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

}  // namespace expgraph
