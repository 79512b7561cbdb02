// statistics: samples of a number -> mean, spread, the confidence interval of their mean, tests.
#pragma once

#include <optional>
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

/// Two-sided p of the paired t test that the mean difference is 0; `differences` are one a pair. 1
/// when all are 0. None when there is nothing to test with: less than two pairs, or a difference
/// other than 0 that is the same in every pair.
std::optional<double> paired_p(std::span<const double> differences);

/// Holm's step-down correction (Scandinavian Journal of Statistics 6, 1979) of the p of one family.
std::vector<double> holm(std::span<const double> p);

}  // namespace expgraph
