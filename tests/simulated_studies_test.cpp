// simulated_studies_test: what the table says of studies whose truth is known: differences that are
// there are found, those that are not are not.
#include <doctest/doctest.h>

#include <random>

#include "core/study/table.h"

using namespace expgraph;

namespace {

constexpr int kStudies = 100;
constexpr int kSeeds = 10;

RunRecord record_of(double accuracy) {
  RunRecord record{.metrics = {{"test/accuracy", true}}, .epochs = 1};
  record.history = {{1, 0, {accuracy}, 10}};
  return record;
}

/// A base and variants with the differences given. A seed moves all variants alike by 0.5 points
/// (standard deviation), and each run by another 0.5.
StudyResult simulate(std::mt19937_64& random, const std::vector<double>& differences) {
  std::normal_distribution<double> noise(0, 0.005);
  StudyResult result{.study = "simulated"};
  result.variants.push_back({.name = "base"});
  for (size_t k = 0; k < differences.size(); ++k) {
    result.variants.push_back({.name = "v" + std::to_string(k), .base = "base"});
  }
  for (int64_t seed = 0; seed < kSeeds; ++seed) {
    const double shared = noise(random);
    for (size_t k = 0; k <= differences.size(); ++k) {
      const double truth = 0.93 + (k == 0 ? 0 : differences[k - 1]);
      result.variants[k].runs.push_back(
          {.seed = seed, .record = record_of(truth + shared + noise(random))});
    }
  }
  return result;
}

}  // namespace

TEST_CASE("a real difference of one point is found with ten seeds, in 90 of 100 studies or more") {
  std::mt19937_64 random(1);
  int found = 0, holds_truth = 0;
  for (int study = 0; study < kStudies; ++study) {
    const Table table = make_table(simulate(random, {0.01}));
    const Comparison& change = table.rows[1].change.value();
    CHECK(change.n == kSeeds);
    found += !change.within_noise() && change.mean > 0;
    holds_truth += std::abs(change.mean - 0.01) <= change.half_width;
  }
  MESSAGE("found in " << found << ", the interval holds the truth in " << holds_truth);
  CHECK(found >= 90);
  CHECK(holds_truth >= 90);
}

TEST_CASE("no difference is found where there is none, in 90 of 100 studies or more") {
  std::mt19937_64 random(2);
  int noise = 0;
  for (int study = 0; study < kStudies; ++study) {
    noise += make_table(simulate(random, {0})).rows[1].change->within_noise();
  }
  MESSAGE("within noise in " << noise);
  CHECK(noise >= 90);
  CHECK(noise < kStudies);  // at 5 %, some study of a hundred is fooled: else nothing is tested
}

TEST_CASE(
    "twenty variants without a difference are all within noise, and one that has it is found") {
  std::mt19937_64 random(3);
  int all_noise = 0, found = 0;
  for (int study = 0; study < kStudies; ++study) {
    std::vector<double> differences(20, 0.0);
    differences[7] = 0.015;
    const Table table = make_table(simulate(random, differences));
    CHECK(table.comparisons == 20);
    bool noise = true;
    for (size_t k = 1; k < table.rows.size(); ++k) {
      if (k != 8) noise = noise && table.rows[k].change->within_noise();
    }
    all_noise += noise;
    found += !table.rows[8].change->within_noise();
  }
  MESSAGE("no false find in " << all_noise << ", the real one found in " << found);
  CHECK(all_noise >= 90);
  CHECK(found >= 90);
}
