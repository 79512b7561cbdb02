// statistics: samples of a number -> mean, spread, and a confidence interval of their mean.
#pragma once

#include <span>
#include <vector>

namespace expgraph {

/// Mean and sample standard deviation (n - 1) of n values; the deviation is 0 for n < 2.
struct Summary {
  int n = 0;
  double mean = 0;
  double deviation = 0;
};
Summary summarise(std::span<const double> values);

/// Quantile of Student's t distribution: P(T <= t) = probability, in (0, 1), degrees > 0
/// (Boost.Math).
double student_t_quantile(double probability, double degrees);

/// A mean with the half width of its two-sided confidence interval; n == 1 has none.
struct Interval {
  int n = 0;
  double mean = 0;
  double half_width = 0;  ///< 0 when n < 2
};
/// Of paired differences: `differences` are one a pair.
Interval confidence_interval(std::span<const double> differences, double confidence = 0.95);

}  // namespace expgraph
