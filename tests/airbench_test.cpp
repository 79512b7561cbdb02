// airbench: the schedules, factors and views of airbench94 and the second ladder, beside closed
// forms, step by step.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/recipe.h"

using namespace expgraph;

namespace {

/// The update node of a parameter.
const Node& update_of(const CompiledPipeline& compiled, const std::string& parameter) {
  const Graph& graph = compiled.train.step.graph;
  for (const Node& node : graph.nodes()) {
    if (node.op->name == "sgd_update" && node.path == "train/update/" + parameter) return node;
  }
  FAIL("no update of ", parameter);
  return graph.nodes().front();
}

bool is_updated(const CompiledPipeline& compiled, const std::string& state) {
  const Graph& graph = compiled.train.step.graph;
  return std::ranges::any_of(graph.updates(), [&](const StateUpdate& update) {
    return graph.leaf(update.state).name == state;
  });
}

const Node& producer(const Graph& graph, ValueId value) {
  return graph.node(graph.value(value).producer);
}

/// `x` from `a` to `b` in straight line over `length`.
double line(double a, double b, double x, double length) { return a + (b - a) * x / length; }

}  // namespace

TEST_CASE("airbench94: learning rate, lookahead and the frozen bias, in each of 476 steps") {
  const CompiledPipeline recipe = compiled_recipe("airbench", "airbench94");
  REQUIRE(recipe.steps == 476);
  CHECK(recipe.parameters == 1'971'640);
  CHECK(recipe.macs == 118'147'360);
  const double lr = 11.5 / (1024 * (1 + 1 / 0.15));
  for (int64_t step = 0; step < 476; ++step) {
    CAPTURE(step);
    const auto t = static_cast<double>(step);
    const double factor = step < 109 ? line(0.2, 1, t, 109) : line(1, 0.07, t - 109, 476 - 109);
    CHECK(schedule_at(recipe, "train/lr", step) == doctest::Approx(lr * factor).epsilon(1e-9));
    const double alpha = std::pow(0.95, 5) * std::pow((t + 1) / 476, 3);
    CHECK(schedule_at(recipe, "train/decay", step) == doctest::Approx(alpha).epsilon(1e-9));
    CHECK(schedule_at(recipe, "train/until", step) == (step < 3 * 48 ? 1 : 0));
  }
}

TEST_CASE(
    "airbench94: factors of the learning rate and the weight decay of each kind of parameter") {
  const CompiledPipeline recipe = compiled_recipe("airbench", "airbench94");
  const Graph& graph = recipe.train.step.graph;
  const double decay = 0.0153 * 1024 / 11.5;

  const Node& filters = update_of(recipe, "train/net/group1/conv1/w");
  CHECK(graph.is_leaf(filters.inputs[2]));
  CHECK(graph.leaf(filters.inputs[2]).name == "train/lr");
  CHECK(filters.attributes.real("weight_decay") == doctest::Approx(decay).epsilon(1e-12));
  CHECK(filters.attributes.real("momentum") == 0.85);
  CHECK(filters.attributes.flag("nesterov"));

  const Node& bias = update_of(recipe, "train/net/group3/bn2/bias");
  const Node& factor = producer(graph, bias.inputs[2]);
  CHECK(factor.op->name == "scale");
  CHECK(factor.attributes.real("factor") == 64);
  CHECK(bias.attributes.real("weight_decay") == doctest::Approx(decay / 64).epsilon(1e-12));

  const Node& start = producer(graph, update_of(recipe, "train/net/whiten/b").inputs[2]);
  CHECK(start.op->name == "scale_by");
  CHECK(graph.leaf(start.inputs[1]).name == "train/until");
  CHECK_FALSE(is_updated(recipe, "train/net/whiten/w"));
  CHECK(is_updated(recipe, "train/net/group1/bn1/running_var/lookahead"));
}

TEST_CASE("airbench94: the rungs before its tricks train all that they have") {
  const CompiledPipeline plain = compiled_recipe("airbench", "plain");
  CHECK(plain.parameters == 1'971'640);
  CHECK(plain.steps == 34 * 48);
  CHECK(is_updated(plain, "train/net/whiten/w"));
  CHECK_FALSE(is_updated(plain, "train/net/whiten/w/lookahead"));
}

TEST_CASE("second ladder: its last rung's schedule, factors and averages") {
  const CompiledPipeline recipe = compiled_recipe("bag_of_tricks", "views");
  REQUIRE(recipe.steps == 970);
  for (int64_t step = 0; step < 970; ++step) {
    CAPTURE(step);
    const auto t = static_cast<double>(step);
    const double lr = step < 194   ? line(0, 1, t, 194)
                      : step < 776 ? line(1, 0.1, t - 194, 776 - 194)
                                   : 0.1;
    CHECK(schedule_at(recipe, "train/lr", step) == doctest::Approx(lr).epsilon(1e-9));
  }
  const Node& bias = update_of(recipe, "train/net/layer1/main/bn/bias");
  CHECK(bias.attributes.real("weight_decay") == doctest::Approx(5e-4 / 64).epsilon(1e-12));
  CHECK_FALSE(is_updated(recipe, "train/net/prep/whiten/w"));
  CHECK(is_updated(recipe, "train/net/layer3/main/conv/w/ema"));
  for (int64_t step = 0; step < 970; ++step) {  // the average moves after steps 1, 6, 11, ...
    CHECK(schedule_at(recipe, "train/average/when", step) == (step % 5 == 0 ? 1 : 0));
  }
  REQUIRE(recipe.test.has_value());
  CHECK(recipe.test->step.graph.find_leaf("train/net/layer3/main/conv/w/ema") != nullptr);
}
