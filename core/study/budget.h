// budget: a time to spend -> the order of runs in which it tells most, and which of them still fit.
#pragma once

#include <chrono>
#include <string_view>
#include <vector>

#include "core/spec/study_spec.h"

namespace expgraph {

/// "45s", "30m", "1h", "1h30m" -> seconds. Error (usage) for anything else, and for none.
double parse_duration(std::string_view text);

/// Order in which variants tell most when time may run out: a chain, where each has the one before
/// it as its base, by its ends and then the middle of what is between, as one bisects; else what
/// others are compared with first, then from the shortest to the longest. It does not look at
/// results, so what is left out for want of time does not bend the statistics.
std::vector<size_t> informative_order(const std::vector<Variant>& variants,
                                      const std::vector<size_t>& asked,
                                      const std::vector<double>& seconds);

/// Wall-clock time of a study. What runs take against their prediction corrects the next ones.
class Budget {
 public:
  explicit Budget(double seconds) : seconds_(seconds) {}
  double left() const;
  /// Prediction as the runs so far correct it.
  double corrected(double predicted) const;
  bool fits(double predicted) const { return corrected(predicted) <= left(); }
  void add(double predicted, double taken);

 private:
  using Clock = std::chrono::steady_clock;
  double seconds_;
  Clock::time_point start_ = Clock::now();
  double predicted_ = 0, taken_ = 0;
};

}  // namespace expgraph
