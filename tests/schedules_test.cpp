// schedules_test: the value of a schedule at a time in epochs.
#include "core/train/schedules.h"

#include <doctest/doctest.h>

using namespace expgraph;

namespace {

double at(std::vector<double> epochs, std::vector<double> values, double epoch) {
  Attributes attributes;
  attributes.set("epochs", std::move(epochs));
  attributes.set("values", std::move(values));
  return schedule_value(op("piecewise_linear"), attributes, epoch);
}

}  // namespace

TEST_CASE("piecewise_linear: straight between knots, exact at knots, constant outside") {
  const std::vector<double> epochs{1, 5, 24};
  const std::vector<double> values{0.1, 0.4, 0};
  CHECK(at(epochs, values, 0) == 0.1);
  CHECK(at(epochs, values, 1) == 0.1);
  CHECK(at(epochs, values, 2) == doctest::Approx(0.175).epsilon(1e-12));
  CHECK(at(epochs, values, 5) == 0.4);
  CHECK(at(epochs, values, 14.5) == doctest::Approx(0.2).epsilon(1e-12));
  CHECK(at(epochs, values, 24) == 0);
  CHECK(at(epochs, values, 100) == 0);
}

TEST_CASE("piecewise_linear: one knot is a constant") {
  for (const double epoch : {0.0, 3.0, 7.5}) CHECK(at({3}, {0.25}, epoch) == 0.25);
}

TEST_CASE("schedules: every schedule operator says its value") {
  int schedules = 0;
  for (const OpSchema* schema : all_ops()) {
    CHECK((schema->schedule != nullptr) == (schema->role == OpRole::schedule));
    schedules += schema->role == OpRole::schedule;
  }
  CHECK(schedules >= 1);
}
