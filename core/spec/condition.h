// condition: "test/accuracy >= 0.94" -> a bound on a metric.
#pragma once

#include <string>

#include "core/spec/yaml.h"

namespace expgraph {

/// A metric and what it is to reach. A value that is not a number never holds.
struct Condition {
  std::string metric;    ///< "test/accuracy"
  bool at_least = true;  ///< else: at most
  double bound = 0;
  Location where;

  bool holds(double value) const { return at_least ? value >= bound : value <= bound; }
  std::string str() const;  ///< "test/accuracy >= 0.94"
};

/// Of a value "METRIC >= NUMBER" or "METRIC <= NUMBER", after the word `when` or without it. Error
/// at the value otherwise; `what` names it.
Condition read_condition(const yaml::Value& value, std::string_view what);

}  // namespace expgraph
