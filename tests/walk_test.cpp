// walk: pipelines compiled in several ways train to the same net on reference.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "core/backend.h"
#include "core/compile.h"
#include "core/data/choices.h"
#include "core/ir/op_schema.h"
#include "tests/support/op_case.h"

using namespace expgraph;
using namespace expgraph::test;

namespace {

constexpr int kSteps = 3;
constexpr int64_t kBatch = 4;
constexpr double kRounding = 1e-4;

/// A product pipeline, narrow and with small batches.
CompiledPipeline compile_narrow(const std::string& pipeline, CompilePipelineOptions options) {
  Parameters parameters;
  for (const auto& [name, value] : {std::pair{"width", "4"}, {"batch", "4"}, {"test_batch", "4"}}) {
    AttributeSpec& parameter = parameters.emplace_back();
    parameter.name = name;
    parameter.value.kind = yaml::Kind::scalar;
    parameter.value.scalar = value;
  }
  options.build.dataset = [](const std::string& name, const std::string& split, const Location&,
                             const Attributes&) {
    return DatasetInfo{.name = name,
                       .split = split,
                       .count = 8 * kBatch,
                       .height = 32,
                       .width = 32,
                       .classes = 10};
  };
  const std::string file = EXPGRAPH_SOURCE_DIR "/graphs/pipelines/" + pipeline + ".yaml";
  return compile_pipeline(expand_file(file, parameters, op_names()), options);
}

/// All that a few steps and an evaluation leave behind: states, and results by step.
using Outcome = Tensors;

void fill_states(const Graph& graph, StateStore& store) {
  for (const Leaf& leaf : graph.leaves()) {
    if (leaf.kind != LeafKind::state || store.has(leaf.name)) continue;
    Tensor start(graph.type(leaf.value));
    initialise(1, leaf.name, leaf.initialiser, start.type, start.bytes.data());
    store.create(leaf.name, start.type);
    store.write(leaf.name, start.view());
  }
}

void run(const Program& program, Executable& executable, StateStore& store, std::mt19937& random,
         float lr, const std::string& name, Outcome& outcome) {
  std::uniform_real_distribution<float> pixel(-1, 1);
  Tensors inputs;
  std::vector<Binding> bound, wanted;
  for (const Leaf& leaf : program.graph.leaves()) {
    if (leaf.kind == LeafKind::state) continue;
    Tensor& tensor = inputs.emplace(leaf.name, program.graph.type(leaf.value)).first->second;
    for (int64_t i = 0; i < tensor.type.elements(); ++i)
      tensor.set(i, leaf.name == "label"    ? static_cast<double>(random() % 10)
                    : leaf.name == "images" ? pixel(random)
                                            : lr);
    bound.push_back({leaf.name, tensor.view()});
  }
  for (const Result& result : program.graph.results()) {
    Tensor& tensor =
        outcome.emplace(name + result.name, program.graph.type(result.value)).first->second;
    wanted.push_back({result.name, tensor.view()});
  }
  executable.run(bound, wanted, store);
}

Outcome train(const CompiledPipeline& compiled, float lr = 0.1f) {
  const Backend& reference = load_backend("reference");
  const Program& step = compiled.train.step;
  const Program& evaluation = compiled.test->step;
  const auto store = reference.make_store();
  fill_states(step.graph, *store);
  const auto executable = reference.compile(step.graph, step.plan, {});
  std::mt19937 random(7);
  Outcome outcome;
  for (int k = 0; k < kSteps; ++k)
    run(step, *executable, *store, random, lr, "step " + std::to_string(k) + " ", outcome);
  run(evaluation, *reference.compile(evaluation.graph, evaluation.plan, {}), *store, random, 0, "",
      outcome);
  for (const std::string& name : store->names()) {
    Tensor& tensor = outcome.emplace("state " + name, store->type(name)).first->second;
    store->read(name, tensor.view());
  }
  return outcome;
}

/// The first entry that differs by more than `tolerance` (of its largest element); "" when none.
std::string first_difference(const Outcome& want, const Outcome& got, double tolerance) {
  if (want.size() != got.size()) return "other results or states";
  for (const auto& [name, tensor] : want) {
    const auto other = got.find(name);
    if (other == got.end()) return name + " is missing";
    if (const std::string how = difference(tensor, other->second, tolerance); !how.empty())
      return name + ": " + how;
  }
  return "";
}

bool has_op(const Graph& graph, std::string_view name) {
  return std::ranges::any_of(graph.nodes(),
                             [&](const Node& node) { return node.op->name == name; });
}

const std::vector<std::string> kPipelines{"davidnet", "dawnbench"};

}  // namespace

TEST_CASE("values that share memory and values that do not give the same bits") {
  for (const std::string& pipeline : kPipelines) {
    const CompiledPipeline shared = compile_narrow(pipeline, {.backend = "onednn"});
    const CompiledPipeline apart =
        compile_narrow(pipeline, {.backend = "onednn", .share_memory = false});
    CHECK(2 * shared.train.step.plan.arena_bytes < apart.train.step.plan.arena_bytes);
    CHECK(first_difference(train(apart), train(shared), 0) == "");
  }
}

TEST_CASE("fused and unfused programs give the same bits") {
  for (const std::string& pipeline : kPipelines) {
    const CompiledPipeline fused = compile_narrow(pipeline, {.backend = "onednn"});
    const CompiledPipeline unfused = compile_narrow(pipeline, {.backend = "onednn", .fuse = false});
    CHECK(has_op(fused.train.step.graph, "fusion"));
    CHECK(!has_op(unfused.train.step.graph, "fusion"));
    CHECK(first_difference(train(unfused), train(fused), 0) == "");
  }
}

TEST_CASE("a program that runs normalisation again in backward agrees with one that keeps it") {
  for (const std::string& pipeline : kPipelines) {
    const CompiledPipeline again = compile_narrow(pipeline, {.backend = "onednn", .fuse = false});
    const CompiledPipeline kept = compile_narrow(pipeline, {.backend = "reference"});
    CHECK(has_op(again.train.step.graph, "batch_norm_apply"));
    CHECK(!has_op(kept.train.step.graph, "batch_norm_apply"));
    CHECK(first_difference(train(kept), train(again), kRounding) == "");
  }
}

TEST_CASE("simplified and plain programs agree") {
  const CompiledPipeline simple = compile_narrow("davidnet", {.backend = "reference"});
  const CompiledPipeline plain =
      compile_narrow("davidnet", {.backend = "reference", .simplify = false});
  CHECK(to_text(simple.train.step.graph) != to_text(plain.train.step.graph));
  CHECK(first_difference(train(plain), train(simple), kRounding) == "");
}

TEST_CASE("these comparisons are not vacuous: a learning rate off by one part in 1e4 shows") {
  const CompiledPipeline compiled = compile_narrow("davidnet", {.backend = "reference"});
  const Outcome outcome = train(compiled);
  CHECK(first_difference(outcome, train(compiled), 0) == "");
  CHECK(first_difference(outcome, train(compiled, 0.10001f), 0) != "");
}
