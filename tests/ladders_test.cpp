// ladders: epochs, batch, learning rate, momentum and weight decay of every rung of both ladders of
// cifar10-fast, beside their tables, step by step.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "tests/support/recipe.h"

using namespace expgraph;

namespace {

constexpr int64_t kImages = 50'000;
constexpr double kMomentum = 0.9, kWeightDecay = 5e-4;

struct Knot {
  double epoch, lr;
};

/// A row of ../shared/reference/ladder.md.
struct Rung {
  const char* name;
  int epochs, batch;
  std::vector<Knot> lr;
};

const std::vector<Knot> kBaseline = {{0, 0}, {15, 0.1}, {30, 0.005}, {35, 0}};
const std::vector<Knot> kLargeBatch = {{0, 0}, {15, 0.44}, {30, 0.005}, {35, 0}};
const std::vector<Knot> kShort = {{0, 0}, {4, 0.4}, {20, 0}};
const std::vector<Knot> kLong = {{0, 0}, {12, 0.4}, {60, 0}};

const std::vector<Rung> kFirstLadder = {
    {"baseline", 35, 128, kBaseline},
    {"stem", 35, 128, kBaseline},
    {"preprocess_once", 35, 128, kBaseline},
    {"bulk_random_choices", 35, 128, kBaseline},
    {"no_worker_processes", 35, 128, kBaseline},
    {"batch_size", 35, 512, kLargeBatch},
    {"bn_in_fp32", 35, 512, kLargeBatch},
    {"one_cycle", 30, 512, {{0, 0}, {8, 0.4}, {30, 0}}},
    {"larger_batch", 30, 768, {{0, 0}, {8, 0.6}, {30, 0}}},
    {"drop_long_branches", 20, 512, kShort},
    {"merge_bn_relu", 20, 512, kShort},
    {"conv_3x3", 20, 512, kShort},
    {"max_pooling", 20, 512, kShort},
    {"classifier", 20, 512, kShort},
    {"scales", 20, 512, kShort},
    {"double_width", 60, 512, kLong},
    {"extra_layers", 60, 512, kLong},
    {"residuals", 20, 512, kShort},
    {"final", 24, 512, {{0, 0}, {5, 0.4}, {24, 0}}},
};

const std::vector<Rung> kSecondLadder = {
    {"start", 24, 512, {{0, 0}, {5, 0.4}, {24, 0}}},
    {"preprocessing", 24, 512, {{0, 0}, {5, 0.4}, {24, 0}}},
    {"pool_first", 25, 512, {{0, 0}, {5, 0.4}, {25, 0}}},
    {"label_smoothing", 23, 512, {{0, 0}, {23 / 5.0, 0.4}, {23, 0}}},
    {"celu", 20, 512, {{0, 0}, {4, 0.4}, {20, 0}}},
    {"ghost_batch_norm", 18, 512, {{0, 0}, {18 / 5.0, 0.6}, {18, 0}}},
    {"frozen_scales", 17, 512, {{0, 0}, {17 / 5.0, 0.6}, {17, 0}}},
    {"whitening", 14, 512, {{0, 0}, {14 / 5.0, 1}, {14, 0}}},
    {"ema", 13, 512, {{0, 0}, {13 / 5.0, 1}, {11, 0.1}}},
    {"views", 10, 512, {{0, 0}, {2, 1}, {8, 0.1}}},
};

/// Straight between the knots, constant after the last.
double curve(const std::vector<Knot>& knots, double epoch) {
  for (size_t k = 1; k < knots.size(); ++k) {
    const auto [x0, y0] = knots[k - 1];
    const auto [x1, y1] = knots[k];
    if (epoch < x1) return y0 + (y1 - y0) * (epoch - x0) / (x1 - x0);
  }
  return knots.back().lr;
}

/// Knots given in fractions stand on whole steps; those in epochs need not.
std::vector<Knot> on_steps(std::vector<Knot> knots, double steps_per_epoch) {
  for (Knot& knot : knots) {
    knot.epoch = std::floor(knot.epoch * steps_per_epoch + 1e-6) / steps_per_epoch;
  }
  return knots;
}

bool has_fractions(const CompiledPipeline& compiled) {
  for (const ScheduleSpec& schedule : compiled.train.graphs.schedules) {
    if (schedule.leaf == "train/lr") return !schedule.attributes.reals("fractions").empty();
  }
  return false;
}

/// Momentum and weight decay of the updates; those of a group's parameters have its factors.
void check_updates(const CompiledPipeline& compiled, bool biases_differ) {
  int updates = 0, with_factor = 0;
  for (const Node& node : compiled.train.step.graph.nodes()) {
    if (node.op->name != "sgd_update") continue;
    ++updates;
    CHECK(node.attributes.real("momentum") == kMomentum);
    CHECK(node.attributes.flag("nesterov"));
    const bool of_bias = biases_differ && node.path.ends_with("/bias");
    with_factor += of_bias;
    const double expected = of_bias ? kWeightDecay / 64 : kWeightDecay;
    CHECK(node.attributes.real("weight_decay") == doctest::Approx(expected).epsilon(1e-12));
  }
  CHECK(updates > 0);
  CHECK((with_factor > 0) == biases_differ);
}

void check_ladder(const char* file, const std::vector<Rung>& rungs,
                  const char* first_with_factors) {
  const Study study = recipes(file);
  REQUIRE(study.variants.size() == rungs.size());
  bool has_factors = false;
  for (size_t k = 0; k < rungs.size(); ++k) {
    const Rung& rung = rungs[k];
    CAPTURE(rung.name);
    REQUIRE(study.variants[k].name == rung.name);
    const CompiledPipeline compiled = compile_pipeline(study.variants[k].spec);
    const int64_t steps = kImages / rung.batch;  // the last, smaller batch is dropped
    CHECK(compiled.train.graphs.nominal_batch == rung.batch);
    REQUIRE(compiled.steps_per_epoch == steps);
    REQUIRE(compiled.steps == rung.epochs * steps);
    const auto knots = has_fractions(compiled) ? on_steps(rung.lr, double(steps)) : rung.lr;
    for (int64_t step = 0; step < compiled.steps; ++step) {
      const double lr = curve(knots, double(step) / double(steps));
      REQUIRE(schedule_at(compiled, "train/lr", step) ==
              doctest::Approx(lr).epsilon(1e-9).scale(0.1));
    }
    has_factors = has_factors || std::string_view(rung.name) == first_with_factors;
    check_updates(compiled, has_factors);
  }
}

}  // namespace

TEST_CASE("first ladder: learning rate, momentum and weight decay of each rung, step by step") {
  check_ladder("ablations", kFirstLadder, "");
}

TEST_CASE("second ladder: learning rate, momentum and weight decay of each rung, step by step") {
  check_ladder("bag_of_tricks", kSecondLadder, "frozen_scales");
}
