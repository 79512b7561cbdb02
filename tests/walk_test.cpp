// walk: pipelines compiled in several ways train to the same net on reference.
#include <doctest/doctest.h>

#include <algorithm>

#include "core/ir/op_schema.h"
#include "tests/support/narrow_pipeline.h"
#include "tests/support/training.h"

using namespace expgraph;
using namespace expgraph::test;

namespace {

constexpr int kSteps = 3;
constexpr double kRounding = 1e-4;

/// A product pipeline.
CompiledPipeline compile(const std::string& pipeline, const CompilePipelineOptions& options) {
  return compile_narrow(EXPGRAPH_SOURCE_DIR "/graphs/pipelines/" + pipeline + ".yaml", options);
}

Outcome train(const CompiledPipeline& compiled, float lr = 0.1f) {
  RandomTraining training(load_backend("reference"), lr);
  training.run(compiled.train.step.graph, compiled.train.step.plan, kSteps, "step ");
  training.run(compiled.test->step.graph, compiled.test->step.plan, 1, "evaluation ");
  return training.outcome();
}

bool has_op(const Graph& graph, std::string_view name) {
  return std::ranges::any_of(graph.nodes(),
                             [&](const Node& node) { return node.op->name == name; });
}

const std::vector<std::string> kPipelines{"davidnet", "dawnbench"};

}  // namespace

TEST_CASE("values that share memory and values that do not give the same bits") {
  for (const std::string& pipeline : kPipelines) {
    const CompiledPipeline shared = compile(pipeline, {.backend = "onednn"});
    const CompiledPipeline apart = compile(pipeline, {.backend = "onednn", .share_memory = false});
    CHECK(2 * shared.train.step.plan.arena_bytes < apart.train.step.plan.arena_bytes);
    CHECK(first_difference(train(apart), train(shared), 0) == "");
  }
}

TEST_CASE("fused and unfused programs give the same bits") {
  for (const std::string& pipeline : kPipelines) {
    const CompiledPipeline fused = compile(pipeline, {.backend = "onednn"});
    const CompiledPipeline unfused = compile(pipeline, {.backend = "onednn", .fuse = false});
    CHECK(has_op(fused.train.step.graph, "fusion"));
    CHECK(!has_op(unfused.train.step.graph, "fusion"));
    CHECK(first_difference(train(unfused), train(fused), 0) == "");
  }
}

TEST_CASE("a program that makes values again gives the bits of one that keeps them") {
  for (const std::string& pipeline : kPipelines) {
    const CompiledPipeline again = compile(pipeline, {.backend = "onednn", .fuse = false});
    const CompiledPipeline kept = compile(pipeline, {.backend = "reference"});
    CHECK(has_op(again.train.step.graph, "batch_norm_apply"));
    CHECK(!has_op(kept.train.step.graph, "batch_norm_apply"));
    CHECK(first_difference(train(kept), train(again), 0) == "");
  }
}

TEST_CASE("simplified and plain programs agree") {
  const CompiledPipeline simple = compile("davidnet", {.backend = "reference"});
  const CompiledPipeline plain = compile("davidnet", {.backend = "reference", .simplify = false});
  CHECK(to_text(simple.train.step.graph) != to_text(plain.train.step.graph));
  CHECK(first_difference(train(plain), train(simple), kRounding) == "");
}

TEST_CASE("these comparisons are not vacuous: a learning rate off by one part in 1e4 shows") {
  const CompiledPipeline compiled = compile("davidnet", {.backend = "reference"});
  const Outcome outcome = train(compiled);
  CHECK(first_difference(outcome, train(compiled), 0) == "");
  CHECK(first_difference(outcome, train(compiled, 0.10001f), 0) != "");
}
