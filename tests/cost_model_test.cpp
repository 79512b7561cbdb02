// cost_model_test: times predicted from timed steps, and what a budget makes of them.
#include "core/study/cost_model.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "core/study/budget.h"
#include "core/study/calibration.h"
#include "tests/support/fast_fs.h"
#include "tests/support/tiny_study.h"

using namespace expgraph;

namespace {

/// A machine on which a node takes what these rates say, within a relative deviation.
struct Machine {
  std::map<std::string, NodeRate> rates;
  double deviation = 0;
  double whole = 1.1;
  std::mt19937_64 random{7};

  TimedStep step(size_t nodes) {
    std::uniform_real_distribution<double> magnitude(4, 8);
    std::normal_distribution<double> noise(1, deviation);
    TimedStep out{.name = "step"};
    for (size_t k = 0; k < nodes; ++k) {
      for (const auto& [name, rate] : rates) {
        const Cost cost{.flops = int64_t(std::pow(10, magnitude(random) + 2)),
                        .bytes = int64_t(std::pow(10, magnitude(random)))};
        out.nodes.push_back({name, cost, rate.seconds(cost) * noise(random)});
        out.seconds += out.nodes.back().seconds * whole;
      }
    }
    return out;
  }
};

Machine machine_of(double deviation) {
  return {.rates = {{"conv2d", {1e-5, 2e-12, 0}}, {"relu", {2e-6, 0, 1e-10}}},
          .deviation = deviation};
}

std::vector<TimedStep> steps_of(Machine machine, int count) {
  std::vector<TimedStep> out;
  for (int k = 0; k < count; ++k) out.push_back(machine.step(10));
  return out;
}

Variant named(const std::string& name, const std::string& base) {
  return {.name = name,
          .title = name,
          .note = "",
          .base = base,
          .spec = {},
          .changes = {},
          .expect = {},
          .where = {}};
}

}  // namespace

TEST_CASE("rates come back from exact times, and none is below zero") {
  const CostModel model = CostModel::fit(steps_of(machine_of(0), 4));
  CHECK(model.rates.at("conv2d").per_flop == doctest::Approx(2e-12).epsilon(0.02));
  CHECK(model.rates.at("conv2d").per_byte == doctest::Approx(0).scale(1e-12));
  CHECK(model.rates.at("relu").per_byte == doctest::Approx(1e-10).epsilon(0.02));
  CHECK(model.whole == doctest::Approx(1.1).epsilon(0.02));
  for (const auto& [name, rate] : model.rates) {
    CHECK(rate.per_node >= 0);
    CHECK(rate.per_flop >= 0);
    CHECK(rate.per_byte >= 0);
  }
}

TEST_CASE("the error that a model tells is the error that it has on steps it has not seen") {
  Machine machine = machine_of(0.2);
  std::vector<TimedStep> seen;
  for (int k = 0; k < 12; ++k) seen.push_back(machine.step(10));
  const CostModel model = CostModel::fit(seen);
  const CostModelError told = leave_one_out_error(seen);
  CHECK(told.steps == 12);
  CHECK(told.worst >= told.median);
  std::vector<double> errors;
  for (int k = 0; k < 101; ++k) {
    const TimedStep fresh = machine.step(10);
    errors.push_back(std::abs(model.seconds(fresh.nodes) / fresh.seconds - 1));
  }
  std::ranges::nth_element(errors, errors.begin() + 50);
  CHECK(told.median < 0.3);
  CHECK(told.median > errors[50] / 3);
  CHECK(told.median < errors[50] * 3);
  CHECK(leave_one_out_error({seen.front()}).steps == 0);
}

TEST_CASE("an operator that was not timed takes the rate of all") {
  const CostModel model = CostModel::fit(steps_of(machine_of(0), 4));
  const Cost cost{.flops = 0, .bytes = 1'000'000};
  CHECK(model.seconds({{"never_timed", cost, 0}}) ==
        doctest::Approx(model.rates.at("").seconds(cost) * model.whole));
  CHECK(model.seconds({{"never_timed", cost, 0}}) > 0);
}

TEST_CASE("durations") {
  CHECK(parse_duration("45s") == 45);
  CHECK(parse_duration("30m") == 1800);
  CHECK(parse_duration("1h30m") == 5400);
  for (const char* wrong : {"", "0s", "30", "m", "1d", "-5m", "1.5h", "99999999999h"}) {
    CAPTURE(wrong);
    CHECK_THROWS_AS(parse_duration(wrong), Error);
  }
}

TEST_CASE("a ladder is run by its ends and then its middles") {
  std::vector<Variant> ladder;
  for (int k = 0; k < 9; ++k) {
    ladder.push_back(named("r" + std::to_string(k), k == 0 ? "" : ladder.back().name));
  }
  const std::vector<size_t> asked = {0, 1, 2, 3, 4, 5, 6, 7, 8};
  CHECK(informative_order(ladder, asked, std::vector<double>(9, 1)) ==
        std::vector<size_t>{0, 8, 4, 2, 6, 1, 3, 5, 7});
}

TEST_CASE("of variants of one base the base is run first, then the shortest") {
  const std::vector<Variant> list = {named("slow", "base"), named("base", ""),
                                     named("quick", "base")};
  CHECK(informative_order(list, {0, 1, 2}, {9, 5, 1}) == std::vector<size_t>{1, 2, 0});
}

TEST_CASE("a step that two variants have is timed once for the fit and its error") {
  const Study study =
      tiny_study({{"large", "epochs: 1, batch: 32"}, {"small", "epochs: 1, batch: 8"}}, 1);
  std::vector<std::string> told;
  const Calibration made = calibrate(study.variants, load_backend("reference"),
                                     {.threads = 1, .steps = 2, .step = [&](const TimedStep& step) {
                                        told.push_back(step.name);
                                      }});
  CHECK(told == std::vector<std::string>{"large, batch 32", "large, batch 8"});
  CHECK(made.error.steps == 2);
}

TEST_CASE("a budget leaves out what would not end in time") {
  const TestFolder cache;
  setenv("XDG_CACHE_HOME", cache.path.c_str(), 1);
  const TestFolder folder;
  FastFs fs;
  const Study study =
      tiny_study({{"short", "epochs: 1"}, {"long", "epochs: 100000"}, {"other", "epochs: 2"}}, 1);
  std::vector<std::string> notes;
  StudyRunOptions options = options_in(folder, notes);
  options.budget = 60;
  try {
    run_study(study, fs, options);
    FAIL("no error without a calibration");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::environment);
    CHECK(error.render().find("expgraph calibrate FILE --backend reference") != std::string::npos);
  }
  const Calibration made = calibrate({study.variants.front()}, load_backend("reference"),
                                     {.threads = 1, .steps = 4, .step = {}});
  write_calibration(fs, made);
  CHECK(read_calibration(fs, "reference", 1).model.whole == doctest::Approx(made.model.whole));

  const StudyOutcome outcome = run_study(study, fs, options);
  CHECK(outcome.result.variants.at(0).runs.size() == 1);
  CHECK(outcome.result.variants.at(1).runs.empty());
  CHECK(outcome.result.variants.at(2).runs.size() == 1);
  CHECK(outcome.code() == ExitCode::done);
  CHECK(notes.back().starts_with("the budget leaves out 1 of 3 runs: long seed 0 ("));
  unsetenv("XDG_CACHE_HOME");
}
