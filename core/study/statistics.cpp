// statistics: samples of a number -> mean, spread, and a confidence interval of their mean.
#include "core/study/statistics.h"

#include <cmath>

#include "core/support/diagnostics.h"

namespace expgraph {
namespace {

/// Continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8), evaluated by
/// Lentz's method; converges fast for x < (a + 1) / (a + b + 2).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  const auto not_zero = [](double value) { return std::abs(value) < kTiny ? kTiny : value; };
  double c = 1;
  double d = 1 / not_zero(1 - (a + b) * x / (a + 1));
  double value = d;
  for (int m = 1; m <= 500; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / not_zero(1 + even * d);
    c = not_zero(1 + even / c);
    value *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / not_zero(1 + odd * d);
    c = not_zero(1 + odd / c);
    const double change = d * c;
    value *= change;
    if (std::abs(change - 1) < 1e-15) break;
  }
  return value;
}

/// I_x(a, b), the regularised incomplete beta function.
double incomplete_beta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) +
                                a * std::log(x) + b * std::log1p(-x));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
  return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

/// P(T <= t) for t >= 0.
double student_t_distribution(double t, double degrees) {
  return 1 - 0.5 * incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t));
}

}  // namespace

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
  if (probability < 0.5) return -student_t_quantile(1 - probability, degrees);
  double low = 0;
  double high = 1;
  while (student_t_distribution(high, degrees) < probability) high *= 2;
  while (high - low > 1e-12 * high) {
    const double middle = low + (high - low) / 2;
    (student_t_distribution(middle, degrees) < probability ? low : high) = middle;
  }
  return low + (high - low) / 2;
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
