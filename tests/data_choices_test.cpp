// Random choices: Philox against its published answers, the order of samples, choices, start
// values.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

#include "core/data/choices.h"
#include "core/support/philox.h"

using namespace expgraph;

TEST_CASE("philox gives the known answers of Random123") {
  CHECK(philox({0, 0, 0, 0}, {0, 0}) ==
        PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  constexpr uint32_t ones = 0xffffffff;
  CHECK(philox({ones, ones, ones, ones}, {ones, ones}) ==
        PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("a stream hands out the words of its blocks in order") {
  PhiloxStream stream({1, 2}, (uint64_t{7} << 32) | 5);
  for (uint32_t block = 0; block < 3; ++block) {
    for (const uint32_t word : philox({block, 0, 5, 7}, {1, 2})) CHECK(stream.next() == word);
  }
}

TEST_CASE("the order of samples is a permutation that depends on seed, name and epoch alone") {
  const auto order = sample_order(1, "train/batch", 3, 1000);
  auto sorted = order;
  std::sort(sorted.begin(), sorted.end());
  std::vector<int32_t> all(1000);
  std::iota(all.begin(), all.end(), 0);
  CHECK(sorted == all);
  CHECK(order == sample_order(1, "train/batch", 3, 1000));
  CHECK(order != sample_order(2, "train/batch", 3, 1000));
  CHECK(order != sample_order(1, "train/other", 3, 1000));
  CHECK(order != sample_order(1, "train/batch", 4, 1000));
  CHECK(sample_order(1, "train/batch", 3, 0).empty());
}

TEST_CASE("every order of four samples comes equally often") {
  std::vector<int> seen(256);
  constexpr int draws = 24000;
  for (int epoch = 0; epoch < draws; ++epoch) {
    const auto order = sample_order(9, "o", epoch, 4);
    ++seen[static_cast<size_t>(order[0] + 4 * order[1] + 16 * order[2] + 64 * order[3])];
  }
  double chi_squared = 0;
  int kinds = 0;
  for (const int count : seen) {
    if (count == 0) continue;
    ++kinds;
    chi_squared += (count - 1000.0) * (count - 1000.0) / 1000.0;
  }
  CHECK(kinds == 24);
  CHECK(chi_squared < 49.7);  // 99.9 % of chi-squared with 23 degrees of freedom
}

TEST_CASE("choices are uniform in their bounds") {
  const ChoiceRule rule{{9, 3, 2, 1, 7}};
  constexpr int64_t count = 90000;
  const auto choices = draw_choices(4, "train/crop/c", 2, count, rule);
  REQUIRE(choices.size() == count * rule.bounds.size());
  for (size_t k = 0; k < rule.bounds.size(); ++k) {
    const auto bound = static_cast<size_t>(rule.bounds[k]);
    std::vector<int> seen(bound);
    for (size_t s = 0; s < count; ++s) {
      const int32_t choice = choices[s * rule.bounds.size() + k];
      REQUIRE(choice >= 0);
      REQUIRE(choice < rule.bounds[k]);
      ++seen[static_cast<size_t>(choice)];
    }
    const double expected = static_cast<double>(count) / static_cast<double>(bound);
    for (const int n : seen) CHECK(std::abs(n - expected) < 5 * std::sqrt(expected));
  }
}

TEST_CASE("a bound that does not divide 2^32 is drawn without bias") {
  // Without rejection, values below the bound's half would come twice as often as the others.
  const int32_t bound = 0x60000000;
  const auto choices = draw_choices(4, "c", 0, 60000, {{bound}});
  double mean = 0;
  for (const int32_t choice : choices) mean += choice / (60000.0 * bound);
  CHECK(std::abs(mean - 0.5) < 0.006);
  const auto residues =
      std::count_if(choices.begin(), choices.end(), [](int32_t choice) { return choice % 3 == 0; });
  CHECK(std::abs(static_cast<double>(residues) - 20000) < 600);
}

TEST_CASE("the choice of a sample does not depend on how many samples there are") {
  const ChoiceRule rule{{9, 9}};
  const auto few = draw_choices(4, "c", 2, 10, rule);
  const auto many = draw_choices(4, "c", 2, 1000, rule);
  CHECK(std::equal(few.begin(), few.end(), many.begin()));
  CHECK(few != draw_choices(4, "c", 3, 10, rule));
  CHECK(few != draw_choices(5, "c", 2, 10, rule));
  CHECK(few != draw_choices(4, "d", 2, 10, rule));
}

TEST_CASE("alternating choices turn every other epoch") {
  const ChoiceRule rule{{2, 9}, ChoiceRule::Kind::alternating};
  const auto first = draw_choices(4, "c", 0, 1000, rule);
  const auto second = draw_choices(4, "c", 1, 1000, rule);
  CHECK(first == draw_choices(4, "c", 0, 1000, {{2, 9}}));
  for (size_t k = 0; k < first.size(); ++k) {
    REQUIRE(first[k] + second[k] == (k % 2 == 0 ? 1 : 8));
  }
  CHECK(draw_choices(4, "c", 2, 1000, rule) == first);
  CHECK(draw_choices(4, "c", 7, 1000, rule) == second);
}

TEST_CASE("the larger part of a beta draw has its distribution") {
  constexpr int64_t count = 20000;
  const auto larger_parts = [](double alpha) {
    return draw_choices(4, "c", 1, count, {{65537}, ChoiceRule::Kind::beta, alpha});
  };
  // Beta(1, 1) is uniform: the larger part is uniform from one half to 1.
  const auto uniform = larger_parts(1);
  CHECK(*std::min_element(uniform.begin(), uniform.end()) >= 32768);
  CHECK(*std::max_element(uniform.begin(), uniform.end()) <= 65536);
  const auto mean = [](const std::vector<int32_t>& parts) {
    return std::accumulate(parts.begin(), parts.end(), 0.0) / (65536.0 * count);
  };
  CHECK(std::abs(mean(uniform) - 0.75) < 0.005);
  // Beta(1/2, 1/2), the arcsine distribution: the larger part is 1/2 + 1/pi on average.
  CHECK(std::abs(mean(larger_parts(0.5)) - (0.5 + std::numbers::inv_pi)) < 0.005);
  // The squares of a part have mean (alpha + 1) / (4 alpha + 2); the same, summed with its rest's.
  double squares = 0;
  for (const int32_t part : larger_parts(0.4)) {
    const double p = part / 65536.0;
    squares += (p * p + (1 - p) * (1 - p)) / count;
  }
  CHECK(std::abs(squares - 2 * 1.4 / 3.6) < 0.005);
}

TEST_CASE("dirac: the first filters hand one channel on, the others are as without") {
  const TensorType type{DType::f32, {5, 3, 3, 2}};
  std::vector<float> filters(5 * 3 * 3 * 2), plain(filters.size());
  initialise(3, "net/w", {Initialiser::Kind::dirac, -1, 1}, type, filters.data());
  initialise(3, "net/w", {Initialiser::Kind::uniform, -1, 1}, type, plain.data());
  for (size_t i = 0; i < filters.size(); ++i) {
    const size_t filter = i / 18, channel = i / 6 % 3, place = i % 6;
    const float handed = filter == channel && place == 3 ? 1 : 0;
    CHECK(filters[i] == (filter < 3 ? handed : plain[i]));
  }
}

TEST_CASE("start values follow their rule, and double and float agree") {
  const TensorType f32{DType::f32, {64, 501}};
  const TensorType f64{DType::f64, {64, 501}};
  constexpr size_t elements = 64 * 501;
  std::vector<float> single(elements);
  std::vector<double> real(elements);
  const auto both = [&](const Initialiser& initialiser) {
    initialise(3, "net/w", initialiser, f32, single.data());
    initialise(3, "net/w", initialiser, f64, real.data());
    double mean = 0, square = 0;
    for (size_t i = 0; i < elements; ++i) {
      REQUIRE(std::abs(single[i] - real[i]) <= 1e-6 * std::max(1.0, std::abs(real[i])));
      mean += real[i] / static_cast<double>(elements);
      square += real[i] * real[i] / static_cast<double>(elements);
    }
    return std::pair(mean, std::sqrt(square - mean * mean));
  };
  const auto [uniform_mean, uniform_spread] = both({Initialiser::Kind::uniform, -1, 3});
  CHECK(std::abs(uniform_mean - 1) < 0.03);
  CHECK(std::abs(uniform_spread - 4 / std::sqrt(12)) < 0.02);
  CHECK(*std::min_element(single.begin(), single.end()) >= -1);
  CHECK(*std::max_element(single.begin(), single.end()) < 3);
  const auto [normal_mean, normal_spread] = both({Initialiser::Kind::normal, 2, 0.5});
  CHECK(std::abs(normal_mean - 2) < 0.015);
  CHECK(std::abs(normal_spread - 0.5) < 0.01);
  both({Initialiser::Kind::constant, 0.25, 0});
  CHECK(std::count(single.begin(), single.end(), 0.25F) == elements);
}
