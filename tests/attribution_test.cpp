// attribution_test: the sets of edits that are planned, and what they tell of edits whose effects
// are known.
#include "core/study/attribution.h"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <random>
#include <set>

#include "core/study/study_file.h"
#include "tests/support/tiny_study.h"

using namespace expgraph;

namespace {

const std::vector<std::string> kNames = {"a", "b", "c", "d", "e", "f"};
const std::vector<double> kEffects = {0.010, -0.004, 0.006, 0.0, 0.002, 0.003};

/// Accuracy: 0.9 and the sum of the effects of the set, with noise of the seed and of the run.
/// `together` is added where edits 1 and 3 are both in.
StudyResult simulate(std::mt19937_64& random, int orders, int seeds, double noise,
                     double together = 0) {
  std::normal_distribution<double> normal(0, noise);
  StudyResult result{.study = "s", .attribution = plan_attribution(kNames, orders)};
  for (const Coalition& set : coalitions_of(*result.attribution)) {
    result.variants.push_back({.name = name_of(set, kNames.size()), .coalition = set});
  }
  for (int64_t seed = 0; seed < seeds; ++seed) {
    const double shared = normal(random);
    for (VariantResult& variant : result.variants) {
      double value = 0.9 + shared + normal(random);
      for (const int edit : *variant.coalition) value += kEffects[static_cast<size_t>(edit)];
      const Coalition& set = *variant.coalition;
      const auto has = [&](int edit) { return std::binary_search(set.begin(), set.end(), edit); };
      if (has(1) && has(3)) value += together;
      RunRecord record{.metrics = {{"test/accuracy", true}}, .epochs = 1};
      record.clocks.steps = 100 - 10.0 * double(set.size());
      record.history = {{1, 0, {value}, 1}};
      variant.runs.push_back({.seed = seed, .record = record});
    }
  }
  return result;
}

}  // namespace

TEST_CASE("orders are permutations, in couples with swapped neighbours, or all that there are") {
  const AttributionPlan plan = plan_attribution(kNames, 7);
  CHECK(plan.orders.size() == 7);
  CHECK_FALSE(plan.exact);
  for (std::vector<int> order : plan.orders) {
    std::sort(order.begin(), order.end());
    CHECK(order == std::vector<int>{0, 1, 2, 3, 4, 5});
  }
  CHECK(plan.orders[1][0] == plan.orders[0][1]);
  CHECK(plan.orders[1][5] == plan.orders[0][4]);
  CHECK(plan_attribution(kNames, 7).orders == plan.orders);
  const AttributionPlan all = plan_attribution({"a", "b", "c"}, 6);
  CHECK(all.exact);
  CHECK(std::set(all.orders.begin(), all.orders.end()).size() == 6);
  CHECK(coalitions_of(all).size() == 8);
  CHECK_FALSE(plan_attribution({"a", "b", "c"}, 5).exact);
}

TEST_CASE("the sets are the starts of all orders, each edit alone, and all but each") {
  const std::vector<Coalition> sets = coalitions_of(plan_attribution(kNames, 1));
  CHECK(sets.front().empty());
  CHECK(sets.back() == Coalition{0, 1, 2, 3, 4, 5});
  CHECK(std::set(sets.begin(), sets.end()).size() == sets.size());
  for (int edit = 0; edit < 6; ++edit) {
    CHECK(std::count(sets.begin(), sets.end(), Coalition{edit}) == 1);
  }
  CHECK(std::count(sets.begin(), sets.end(), Coalition{0, 1, 2}) == 1);
  CHECK(std::count(sets.begin(), sets.end(), Coalition{0, 1, 2, 3, 5}) == 1);
  CHECK(name_of({}, 6) == "none");
  CHECK(name_of({0, 2}, 6) == "1_3");
  CHECK(name_of({0, 1, 2, 3, 5}, 6) == "all_but_5");
  CHECK(name_of({0, 1, 2, 3, 4, 5}, 6) == "all");
}

TEST_CASE("without noise the values of additive edits are their effects, and sum to the whole") {
  std::mt19937_64 random(1);
  const AttributionTable table = attribute(simulate(random, 4, 1, 0));
  const Attribution& accuracy = table.figures.at(0);
  for (size_t k = 0; k < kEffects.size(); ++k) {
    for (const Interval& value : {accuracy.edits[k].ladder, accuracy.edits[k].alone,
                                  accuracy.edits[k].left_in, accuracy.edits[k].shapley}) {
      CHECK(value.mean == doctest::Approx(kEffects[k]).epsilon(1e-9));
    }
  }
  CHECK(accuracy.shapley_sum == doctest::Approx(0.017));
  CHECK(accuracy.whole.mean == doctest::Approx(0.017));
  const Attribution& seconds = table.figures.at(1);
  CHECK(seconds.edits[2].shapley.mean == doctest::Approx(-10));
  CHECK(seconds.shapley_sum == doctest::Approx(-60));
}

TEST_CASE("with noise they sum to the whole, and the intervals hold the truth in 90 of 100") {
  std::mt19937_64 random(2);
  constexpr int kStudies = 100;
  size_t within = 0;
  int whole = 0;
  for (int study = 0; study < kStudies; ++study) {
    const AttributionTable table = attribute(simulate(random, 6, 5, 0.002));
    const Attribution& accuracy = table.figures.at(0);
    CHECK(accuracy.shapley_sum == doctest::Approx(accuracy.whole.mean).epsilon(1e-9));
    whole += std::abs(accuracy.shapley_sum - 0.017) <= accuracy.whole.half_width;
    for (size_t k = 0; k < kEffects.size(); ++k) {
      const Interval& shapley = accuracy.edits[k].shapley;
      CHECK(shapley.n == 6);
      within += std::abs(shapley.mean - kEffects[k]) <= shapley.half_width;
    }
  }
  MESSAGE("whole within " << whole << ", values within " << within << " of 600");
  CHECK(whole >= 90);
  CHECK(within >= 540);
}

TEST_CASE("two edits that give more together are the strongest interaction") {
  std::mt19937_64 random(3);
  const AttributionTable table = attribute(simulate(random, 12, 3, 0.0005, 0.02));
  const Attribution& accuracy = table.figures.at(0);
  REQUIRE(!accuracy.interactions.empty());
  CHECK(accuracy.interactions[0].a == 1);
  CHECK(accuracy.interactions[0].b == 3);
  CHECK(accuracy.interactions[0].effect.mean == doctest::Approx(0.02).epsilon(0.1));
  // Each of the two is given half of what they give together.
  const Interval& shapley = accuracy.edits[3].shapley;
  CHECK(std::abs(shapley.mean - 0.01) <= shapley.half_width);
}

TEST_CASE("a set whose run is missing leaves out the orders that go through it") {
  std::mt19937_64 random(4);
  StudyResult result = simulate(random, 4, 2, 0);
  for (VariantResult& variant : result.variants) {
    if (variant.coalition->size() == 1 && variant.coalition->front() == 0) variant.runs.clear();
  }
  const AttributionTable table = attribute(result);
  CHECK(table.figures[0].edits[0].alone.n == 0);
  CHECK(table.figures[0].edits[0].shapley.n <= 4);
  CHECK(to_terminal(table).find("1 a") != std::string::npos);
  CHECK_THROWS_WITH_AS(attribute(StudyResult{.study = "s"}), "'s' was not run for attribution",
                       Error);
}

TEST_CASE("an interval adds the variance over orders to that over seeds") {
  // Two units, two seeds: unit means 1 and 3, seed means 1.5 and 2.5, mean 2.
  const std::vector<std::vector<double>> samples = {{0.5, 1.5}, {2.5, 3.5}};
  const Interval both = two_way_interval(samples, false);
  CHECK(both.mean == 2);
  CHECK(both.n == 2);
  // Variances of the means: 1 and 0.25; degrees (1.25^2) / (1 + 0.0625).
  const double degrees = 1.25 * 1.25 / 1.0625;
  CHECK(both.half_width == doctest::Approx(student_t_quantile(0.975, degrees) * std::sqrt(1.25)));
  CHECK(two_way_interval(samples, true).half_width ==
        doctest::Approx(student_t_quantile(0.975, 1) * 0.5));
  CHECK(two_way_interval({{1.0}}, false).half_width == 0);
  CHECK(two_way_interval({}, false).n == 0);
}

TEST_CASE("an edit that cannot be made without another is nothing there, and said so") {
  const TestFolder folder;
  std::ofstream(folder.path / "tiny.yaml") << kTinyPipeline;
  std::ofstream(folder.path / "s.yaml") << R"(study: s
pipeline: tiny.yaml
params: {epochs: 1}
ladder:
  - rung: start
  - rung: second norm
    edits: [{insert: {after: train/net/conv2, nodes: {bn2: batch_norm}}}]
  - rung: eager
    edits: [{set: {train/net/bn2.momentum: 0.5}}]
  - rung: plain
    edits: [{set: {train/update.nesterov: false}}]
)";
  StudyOptions options{.attribute = 6};
  options.check = [](const FlatSpec& spec) { build_pipeline(spec); };
  const Study study = read_study((folder.path / "s.yaml").string(), options, op_names());
  CHECK(study.name == "s-attribution");
  CHECK(study.attribution->exact);
  REQUIRE(study.variants.size() == 8);
  for (const Variant& variant : study.variants) {
    const Coalition& set = *variant.coalition;
    const bool eager = std::count(set.begin(), set.end(), 1) > 0;
    const bool norm = std::count(set.begin(), set.end(), 0) > 0;
    CHECK(variant.inapplicable == (eager && !norm ? std::vector<int>{1} : std::vector<int>{}));
  }
  std::vector<std::string> notes;
  const StudyOutcome outcome = run_study(study, system_fs(), options_in(folder, notes));
  const AttributionTable table = attribute(load_study(system_fs(), folder.path / "s-attribution"));
  CHECK(table.figures[0].edits[1].inapplicable == 2);
  CHECK(table.figures[0].edits[1].alone.mean == 0);
  CHECK(table.figures[0].shapley_sum == doctest::Approx(table.figures[0].whole.mean));
  CHECK(to_terminal(table).find("'eager' cannot be made in 2 of the sets that have it") !=
        std::string::npos);
  // 'eager' alone is the start, and 'eager, plain' is 'plain': run once.
  CHECK(std::count_if(notes.begin(), notes.end(),
                      [](const std::string& note) { return note.starts_with("start "); }) == 6);
}
