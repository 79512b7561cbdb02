// schedules_test: the value of a schedule in a step, beside closed forms.
#include "core/train/schedules.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <numbers>

using namespace expgraph;

namespace {

using Named = std::vector<std::pair<std::string, AttributeValue>>;

/// The value of a schedule in each step of a training.
std::vector<double> table(std::string_view name, const Named& given, int64_t steps,
                          int64_t steps_per_epoch) {
  Attributes attributes;
  for (const auto& [key, value] : given) attributes.set(key, value);
  attributes = complete_attributes(op(name), attributes);
  Graph check;
  check.add_node(op(name), attributes, {}, "schedule");
  std::vector<double> values;
  for (int64_t step = 0; step < steps; ++step) {
    values.push_back(schedule_value(op(name), attributes, {step, steps_per_epoch, steps}));
  }
  return values;
}

void check_table(const std::vector<double>& values, const std::function<double(double)>& expected) {
  CHECK(!values.empty());
  for (size_t step = 0; step < values.size(); ++step) {
    CAPTURE(step);
    CHECK(values[step] == doctest::Approx(expected(static_cast<double>(step))).epsilon(1e-12));
  }
}

/// piecewise_linear at a time in epochs of 1000 steps.
double at(std::vector<double> epochs, std::vector<double> values, double epoch) {
  const auto step = static_cast<int64_t>(std::lround(epoch * 1000));
  return table("piecewise_linear", {{"epochs", std::move(epochs)}, {"values", std::move(values)}},
               step + 1, 1000)
      .back();
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

TEST_CASE("airbench94: the learning rate of all 476 steps, the decay of lookahead") {
  const std::vector<double> factor = table("piecewise_linear",
                                           {{"fractions", std::vector<double>{0, 0.23, 1}},
                                            {"values", std::vector<double>{0.2, 1, 0.07}}},
                                           476, 48);
  check_table(factor, [](double k) {
    return k < 109 ? 0.2 + 0.8 * k / 109 : 1 - 0.93 * (k - 109) / (476 - 109);
  });
  // Read at the end of a step: t = step + 1.
  const std::vector<double> decay = table("piecewise_polynomial",
                                          {{"fractions", std::vector<double>{0, 1}},
                                           {"values", std::vector<double>{0, std::pow(0.95, 5)}},
                                           {"power", std::vector<double>{3}},
                                           {"ahead", int64_t{1}}},
                                          476, 48);
  check_table(decay, [](double k) { return std::pow(0.95, 5) * std::pow((k + 1) / 476, 3); });
  const auto done = [](bool last) {
    return table("every", {{"steps", int64_t{5}}, {"last", last}}, 476, 48);
  };
  check_table(done(false), [](double k) { return std::fmod(k + 1, 5) == 0 ? 1 : 0; });
  check_table(done(true), [](double k) { return std::fmod(k + 1, 5) == 0 || k == 475 ? 1 : 0; });
  const std::vector<double> frozen = table(
      "piecewise_constant",
      {{"epochs", std::vector<double>{0, 3}}, {"values", std::vector<double>{1, 0}}}, 476, 48);
  check_table(frozen, [](double k) { return k < 144 ? 1 : 0; });
}

TEST_CASE("1cycle: learning rate and momentum of all steps as fastai 1.0 has them") {
  const int64_t steps = 24 * 49;
  const auto rise = static_cast<double>(static_cast<int64_t>(0.41 * double(steps)));
  // annealing_cos(start, end, pct) = end + (start - end) / 2 * (cos(pi * pct) + 1)
  const auto annealed = [&](double low, double high, double final) {
    return [=](double k) {
      const double start = k < rise ? low : high, end = k < rise ? high : final;
      const double part = k < rise ? k / rise : (k - rise) / (double(steps) - rise);
      return end + (start - end) / 2 * (std::cos(std::numbers::pi * part) + 1);
    };
  };
  const auto cosine = [&](std::vector<double> values) {
    return table("piecewise_cosine",
                 {{"fractions", std::vector<double>{0, 0.41, 1}}, {"values", std::move(values)}},
                 steps, 49);
  };
  check_table(cosine({2.08e-4, 0.0052, 2.08e-8}), annealed(2.08e-4, 0.0052, 2.08e-8));
  check_table(cosine({0.95, 0.85, 0.95}), annealed(0.95, 0.85, 0.95));
}

TEST_CASE("a warm-up and a power: each piece leaves its lower end") {
  const std::vector<double> lr = table("piecewise_polynomial",
                                       {{"epochs", std::vector<double>{0, 5, 90}},
                                        {"values", std::vector<double>{0, 10, 0}},
                                        {"power", std::vector<double>{1, 2}}},
                                       900, 10);
  check_table(lr,
              [](double k) { return k < 50 ? 10 * k / 50 : 10 * std::pow(1 - (k - 50) / 850, 2); });
}

TEST_CASE("knots in steps; a moving average begins after its first step") {
  const std::vector<double> lr = table(
      "piecewise_linear",
      {{"steps", std::vector<double>{0, 4, 8}}, {"values", std::vector<double>{0, 1, 0}}}, 8, 3);
  check_table(lr, [](double k) { return k < 4 ? k / 4 : 2 - k / 4; });
  const std::vector<double> when =
      table("every", {{"steps", int64_t{5}}, {"first", int64_t{1}}}, 21, 7);
  check_table(when, [](double k) { return std::fmod(k, 5) == 0 ? 1 : 0; });
}

TEST_CASE("schedules: every schedule operator says its value") {
  int schedules = 0;
  for (const OpSchema* schema : all_ops()) {
    CHECK((schema->schedule != nullptr) == (schema->role == OpRole::schedule));
    schedules += schema->role == OpRole::schedule;
  }
  CHECK(schedules >= 5);
}
