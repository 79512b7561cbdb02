// loss_scale_test: training with a scaled loss beside training without, on every backend.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/compile.h"
#include "tests/support/guarded_run.h"
#include "tests/support/tiny_pipeline.h"
#include "tests/support/training.h"

using namespace expgraph;
using namespace expgraph::test;

namespace {

constexpr const char* kScale = "state train/scaling/scale";
constexpr const char* kGoodSteps = "state train/scaling/steps";

const std::vector<std::string> kOptimisers{
    "update: {op: sgd, loss: loss, lr: lr, momentum: 0.9, nesterov: true, weight_decay: 5e-4}",
    "update: {op: adam, loss: loss, lr: lr, weight_decay: 0.1}",
    "update: {op: lars, loss: loss, lr: lr, weight_decay: 5e-4}"};

/// The tiny pipeline with another optimiser and further nodes in `train`, each a line of YAML.
std::string with(const std::string& update, const std::vector<std::string>& nodes) {
  std::string text = kTinyPipeline;
  const size_t start = text.find("update: {");
  text.replace(start, text.find('\n', start) - start, update);
  const size_t at = text.find("test:\n");
  for (const std::string& node : nodes) text.insert(at, fmt::format("    {}\n", node));
  return text;
}

std::string replaced(std::string text, const std::string& old, const std::string& now) {
  const size_t at = text.find(old);
  REQUIRE(at != std::string::npos);
  return text.replace(at, old.size(), now);
}

Outcome trained(const std::string& text, const std::string& backend, int steps, float lr = 0.1f,
                bool share = true) {
  const FlatSpec spec = expand_text(text, "tiny.yaml", ".", {}, op_names());
  const SidePrograms side =
      compile_pipeline(spec, {.backend = backend, .share_memory = share}).train;
  RandomTraining training(load_backend(backend), lr);
  training.run(side.step.graph, side.step.plan, steps, "");
  return training.outcome();
}

/// States and results of `want` that `got` has other bits of, each with a comma after it.
std::string other_bits(const Outcome& want, const Outcome& got) {
  std::string names;
  for (const auto& [name, tensor] : want)
    if (!difference(tensor, got.at(name), 0).empty()) names += name + ",";
  return names;
}

/// Sums its losses, so that a gradient times the largest factor is no number of f32 any more.
std::string overflowing(const std::string& update, std::vector<std::string> nodes) {
  nodes.emplace_back("scaling: {op: loss_scale, start: 1.7e38, largest: 1.7e38, every: 50}");
  return replaced(with(update, nodes), "label: batch/label}",
                  "label: batch/label, reduction: sum}");
}

}  // namespace

TEST_CASE("without overflow a power of two changes no bit of training, and doubles in time") {
  for (const std::string& backend : backend_names()) {
    for (const std::string& update : kOptimisers) {
      CAPTURE(backend);
      CAPTURE(update);
      const std::vector<std::string> plain{"average: {op: ema, decay: 0.5}"};
      std::vector<std::string> scaled = plain;
      scaled.emplace_back("scaling: {op: loss_scale, start: 1024, every: 2}");
      // LibTorch updates parameters that lie apart one by one, as it does those of a scaled loss;
      // laid end to end its SGD rounds some elements otherwise.
      const bool share = backend != "libtorch";
      const Outcome want = trained(with(update, plain), backend, 3, 0.1f, share);
      const Outcome got = trained(with(update, scaled), backend, 3, 0.1f, share);
      CHECK(other_bits(want, got) == "");
      CHECK(got.at(kScale).at(0) == 2048);
      CHECK(got.at(kGoodSteps).at(0) == 1);
    }
  }
}

TEST_CASE("a step whose gradients overflow changes no state but the scale, which it halves") {
  for (const std::string& backend : backend_names()) {
    for (const std::string& update : kOptimisers) {
      CAPTURE(backend);
      CAPTURE(update);
      const std::string text = overflowing(update, {"average: {op: ema, decay: 0.5}"});
      const Outcome before = trained(text, backend, 0), after = trained(text, backend, 1);
      CHECK(before.contains("state train/net/bn/running_var/ema"));
      CHECK(other_bits(before, after) == std::string(kScale) + ",");
      CHECK(after.at(kScale).at(0) == doctest::Approx(0.85e38));
    }
  }
}

TEST_CASE("the scale is halved until gradients are numbers; then training goes on") {
  for (const std::string& backend : backend_names()) {
    CAPTURE(backend);
    const std::string text = overflowing(kOptimisers[0], {});
    const Outcome before = trained(text, backend, 0), after = trained(text, backend, 40, 1e-4f);
    const double scale = after.at(kScale).at(0), steps = after.at(kGoodSteps).at(0);
    const double halved = std::log2(1.7e38 / scale);
    CHECK(halved == doctest::Approx(std::round(halved)));
    CHECK(halved >= 1);
    CHECK(steps >= 1);
    CHECK(halved + steps <= 40);
    for (const auto& [name, tensor] : after)
      for (int64_t i = 0; i < tensor.type.elements(); ++i) REQUIRE(std::isfinite(tensor.at(i)));
    const std::string moved = other_bits(before, after);
    CHECK(std::ranges::count(moved, ',') == static_cast<int64_t>(before.size()));
  }
}

TEST_CASE("gradients that vanish in fp16 do not when the loss is scaled") {
  const auto train = [](const std::string& precision, const std::vector<std::string>& nodes) {
    std::vector<std::string> all = nodes;
    all.emplace_back("small: {op: scale, factor: 1e-6, inputs: loss}");
    std::string text = with("update: {op: sgd, loss: small, lr: lr}", all);
    text = replaced(text, "  epochs: $epochs\n",
                    "  epochs: $epochs\n  precision: " + precision + "\n");
    return trained(text, "reference", 1, 1e5f).at("state train/net/conv2/w");
  };
  const Tensor start =
      trained(with(kOptimisers[0], {}), "reference", 0).at("state train/net/conv2/w");
  const Tensor want = train("fp32", {}), lost = train("fp16", {});
  const Tensor kept = train("fp16", {"scaling: {op: loss_scale, start: 65536}"});
  double moved = 0, error_lost = 0, error_kept = 0;
  for (int64_t i = 0; i < want.type.elements(); ++i) {
    moved += std::abs(want.at(i) - start.at(i));
    error_lost += std::abs(lost.at(i) - want.at(i));
    error_kept += std::abs(kept.at(i) - want.at(i));
  }
  REQUIRE(moved > 0);
  CHECK(error_kept < 0.05 * moved);
  CHECK(error_lost > 0.5 * moved);
}
