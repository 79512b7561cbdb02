// condition: "test/accuracy >= 0.94" -> a bound on a metric.
#include "core/spec/condition.h"

#include <fmt/format.h>

#include <sstream>

namespace expgraph {

std::string Condition::str() const {
  return fmt::format("{} {} {}", metric, at_least ? ">=" : "<=", bound);
}

Condition read_condition(const yaml::Value& value, std::string_view what) {
  std::istringstream words(value.is_scalar() ? value.scalar : "");
  Condition out{.where = value.where};
  std::string relation, number, rest;
  words >> out.metric;
  if (out.metric == "when") words >> out.metric;
  words >> relation >> number;
  const auto bound = yaml::to_number(number);
  if (!bound || (relation != ">=" && relation != "<=") || words >> rest) {
    throw Error(fmt::format("{} is METRIC >= NUMBER or METRIC <= NUMBER, got {}", what,
                            yaml::describe(value)),
                value.where);
  }
  out.at_least = relation == ">=";
  out.bound = *bound;
  return out;
}

}  // namespace expgraph
