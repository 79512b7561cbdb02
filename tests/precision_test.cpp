// precision_test: what computes in 16 bits and what stays in fp32, by text in, text out; training
// in 16 bits is near training in fp32.
#include "core/passes/precision.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "core/ir/op_schema.h"
#include "core/passes/passes.h"
#include "tests/graph_case.h"
#include "tests/support/attribute.h"
#include "tests/support/tiny_pipeline.h"
#include "tests/support/training.h"

using namespace expgraph;
using namespace expgraph::test;

namespace {

void check_lowered(std::string_view before, std::string_view after) {
  const auto pass = [](const Graph& graph) { return precision(graph, DType::bf16); };
  CHECK(run(before, pass) == graph_of(after));
}

CompiledPipeline compile_tiny(const std::string& name, const std::string& backend) {
  FlatSpec spec = tiny_spec("batch: 8, test_batch: 8, drop_last: true");
  set_of_train(spec, "precision", name);
  return compile_pipeline(spec, {.backend = backend});
}

Outcome train(const CompiledPipeline& compiled, int steps) {
  RandomTraining training(load_backend("reference"));
  training.run(compiled.train.step.graph, compiled.train.step.plan, steps, "step ");
  training.run(compiled.test->step.graph, compiled.test->step.plan, 1, "evaluation ");
  return training.outcome();
}

int count(const Graph& graph, std::string_view name) {
  return static_cast<int>(std::ranges::count_if(
      graph.nodes(), [&](const Node& node) { return node.op->name == name; }));
}

}  // namespace

TEST_CASE("precision: weights and activations are cast, normalisation and losses keep fp32") {
  check_lowered(R"(
    %x = input images : f32[4,3,8,8]
    %l = input label : i32[4]
    %w = state w : f32[5,3,3,3] normal(0, 1) trainable
    %s = state s : f32[5] constant(1) trainable
    %b = state b : f32[5] constant(0) trainable
    %m = state m : f32[5] constant(0)
    %v = state v : f32[5] constant(1)
    %c = conv2d(%x, %w, _) {channels=5, kernel=[3]} @ conv
    %y, %mean, %inverse, %m1, %v1 = batch_norm(%c, %s, %b, %m, %v) @ norm
    %r = relu(%y) @ relu
    %p, %i = max_pool(%r) {size=[0]} @ pool
    %f = flatten(%p) @ flatten
    %loss = cross_entropy(%f, %l) @ loss
    %hits = correct(%f, %l) @ hits
    result loss = %loss
    result hits = %hits
    update m = %m1
    update v = %v1)",
                R"(
    %x = input images : f32[4,3,8,8]
    %l = input label : i32[4]
    %w = state w : f32[5,3,3,3] normal(0, 1) trainable
    %s = state s : f32[5] constant(1) trainable
    %b = state b : f32[5] constant(0) trainable
    %m = state m : f32[5] constant(0)
    %v = state v : f32[5] constant(1)
    %x16 = cast(%x) {dtype="bf16"} @ images/cast
    %w16 = cast(%w) {dtype="bf16"} @ w/cast
    %c = conv2d(%x16, %w16, _) {channels=5, kernel=[3]} @ conv
    %y, %mean, %inverse, %m1, %v1 = batch_norm(%c, %s, %b, %m, %v) @ norm
    %r = relu(%y) @ relu
    %p, %i = max_pool(%r) {size=[0]} @ pool
    %f = flatten(%p) @ flatten
    %f32 = cast(%f) {dtype="f32"} @ flatten/cast
    %loss = cross_entropy(%f32, %l) @ loss
    %hits = correct(%f32, %l) @ hits
    result loss = %loss
    result hits = %hits
    update m = %m1
    update v = %v1)");
}

TEST_CASE("precision: a value is cast once for all its readers; results are what they were") {
  check_lowered(R"(
    %x = input x : f32[2,3]
    %y = input y : f32[2,3]
    %a = relu(%x) @ a
    %b = add(%x, %y, %a) @ b
    result a = %a
    result b = %b)",
                R"(
    %x = input x : f32[2,3]
    %y = input y : f32[2,3]
    %x16 = cast(%x) {dtype="bf16"} @ x/cast
    %a = relu(%x16) @ a
    %y16 = cast(%y) {dtype="bf16"} @ y/cast
    %b = add(%x16, %y16, %a) @ b
    %a32 = cast(%a) {dtype="f32"} @ a/cast
    %b32 = cast(%b) {dtype="f32"} @ b/cast
    result a = %a32
    result b = %b32)");
}

TEST_CASE("precision: scalars keep fp32, and so does an operator that takes no 16-bit input") {
  check_lowered(R"(
    %x = input x : f32[]
    %y = scale(%x) {factor=2} @ y
    result y = %y)",
                R"(
    %x = input x : f32[]
    %y = scale(%x) {factor=2} @ y
    result y = %y)");
  check_lowered(R"(
    %x = input x : f32[1,4,4,3]
    %y = to_images(%x) @ y
    result y = %y)",
                R"(
    %x = input x : f32[1,4,4,3]
    %y = to_images(%x) @ y
    result y = %y)");
}

TEST_CASE("masters are fp32: every parameter's gradient is cast before its update") {
  const CompiledPipeline compiled = compile_tiny("bf16", "reference");
  const Graph& graph = compiled.train.step.graph;
  for (const Leaf& leaf : graph.leaves()) {
    if (leaf.kind == LeafKind::state) CHECK(graph.type(leaf.value).dtype == DType::f32);
  }
  CHECK(count(graph, "sgd_update") == 6);
  CHECK(count(graph, "cast") >= 2 * 4);  // three weights and a bias, there and back
  const auto computes = [&](std::string_view name, DType dtype) {
    for (const Node& node : graph.nodes()) {
      if (node.op->name == name) CHECK(graph.type(node.outputs[0]).dtype == dtype);
    }
    CHECK(count(graph, name) > 0);
  };
  computes("conv2d", DType::bf16);
  computes("batch_norm", DType::bf16);
  computes("conv2d_backward_weights", DType::bf16);
  computes("cross_entropy", DType::f32);
  computes("sgd_update", DType::f32);
  CHECK(count(compiled.test->step.graph, "cast") > 0);
}

TEST_CASE("a few steps in 16 bits are near those in fp32, fp16 nearer than bf16") {
  const Outcome want = train(compile_tiny("fp32", "reference"), 3);
  const Outcome bf16 = train(compile_tiny("bf16", "reference"), 3);
  const Outcome fp16 = train(compile_tiny("fp16", "reference"), 3);
  CHECK(first_difference(want, bf16, 0.3, 0.1) == "");
  CHECK_FALSE(first_difference(want, bf16, 1e-4, 1e-4).empty());
  CHECK(first_difference(want, fp16, 0.02, 0.02) == "");
  CHECK_FALSE(first_difference(want, fp16, 1e-5, 1e-5).empty());
}

TEST_CASE("a backend without the type says so before anything runs") {
  CHECK(message_of([] {
          compile_tiny("fp16", "onednn");
        }).find("error: backend 'onednn' does not compute in f16\n") != std::string::npos);
  CHECK(message_of([] {
          compile_tiny("fp8", "reference");
        }).find("'precision' is fp32, bf16, fp16, auto, got 'fp8'") != std::string::npos);
}
