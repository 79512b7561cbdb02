// cuda_backend_test: the LibTorch backend with its own CUDA kernels does what reference does:
// chains and losses of the corpus, and whole nets. On a GPU where there is one, else with kernels
// emulated.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/passes/passes.h"
#include "core/verify_backends.h"
#include "tests/graph_case.h"
#include "tests/support/cuda_module.h"
#include "tests/support/guarded_run.h"
#include "tests/support/narrow_pipeline.h"
#include "tests/support/tiny_pipeline.h"
#include "tests/support/training.h"

using namespace expgraph;
using namespace expgraph::test;
namespace fs = std::filesystem;

namespace {

/// What the emulation has counted so far: "kernels" that were made, or those of one kind of node,
/// or "launches"; no fault is seen yet.
int counted(const std::string& what) {
  const std::string text = ", " + load_backend("libtorch").describe();
  REQUIRE_MESSAGE(text.ends_with("fault ''"), text);
  const size_t at = text.find(", " + what + " ");
  return at == std::string::npos ? 0 : std::atoi(text.c_str() + at + what.size() + 3);
}
int own_kernels() { return counted("kernels"); }

/// As the compiler makes a step ready for libtorch.
Graph fused(const Graph& graph) {
  const Target& goal = target("libtorch");
  return fuse(recompute(graph, goal), goal);
}

bool is_of(const OpCase& c, std::initializer_list<std::string_view> ops) {
  return std::ranges::any_of(
      c.ops, [&](const OpSchema* op) { return std::ranges::find(ops, op->name) != ops.end(); });
}

/// What libtorch gets wrong of a case, forward and backward; "" when it does what reference does.
std::string fault_of(const OpCase& c) {
  const std::optional<Graph> gradient = gradient_graph(c);
  const Graph graph = gradient ? *gradient : forward_graph(c);
  const Tensors inputs = make_inputs(c, graph);
  const Tensors want =
      guarded_run(load_backend("reference"), graph, guarded_plan(graph), inputs).results;
  const Graph goal = fused(graph);
  const GuardedRun run = guarded_run(load_backend("libtorch"), goal, guarded_plan(goal), inputs);
  for (const std::string& fault : run.faults) return c.name + ": " + fault;
  for (const auto& [name, got] : run.results)
    if (const std::string how = difference(want.at(name), got, std::max(c.tolerance, 5e-5));
        !how.empty())
      return c.name + ": " + name + ": " + how;
  return "";
}

Outcome train(const CompiledPipeline& compiled, const std::string& backend, int steps) {
  RandomTraining training(load_backend(backend), 0.01f);
  training.run(compiled.train.step.graph, compiled.train.step.plan, steps, "step ");
  if (compiled.test)
    training.run(compiled.test->step.graph, compiled.test->step.plan, 1, "evaluation ");
  return training.outcome();
}

/// Of the first step.
double loss_of(const Outcome& outcome) {
  for (const auto& [name, tensor] : outcome)
    if (name.starts_with("step 0 ") && name.ends_with("loss")) return tensor.at(0);
  throw std::logic_error("no loss");
}

}  // namespace

TEST_CASE(
    "cases of normalisation, loss and update run by own kernels and are what reference says") {
  if (no_cuda_module()) return;
  int chains = 0, losses = 0, with_kernels = 0;
  for (const OpCase& c : read_op_cases(EXPGRAPH_SOURCE_DIR "/tests/ops")) {
    const bool chain = c.ops.size() > 1;
    const bool loss = is_of(c, {"cross_entropy", "correct"});
    if (!chain && !loss && !is_of(c, {"batch_norm", "max_pool", "sgd_update"})) continue;
    const int before = kEmulated ? own_kernels() : 0;
    const std::string fault = fault_of(c);
    CHECK_MESSAGE(fault == "", fault);
    chains += chain;
    losses += loss;
    if (kEmulated) with_kernels += own_kernels() > before;
  }
  CHECK(chains >= 20);
  CHECK(losses >= 10);
  if (kEmulated) CHECK(with_kernels >= 25);
}

TEST_CASE("every pipeline of the tree trains as on reference, in fp32 and in 16 bits") {
  if (no_cuda_module()) return;
  struct Way {
    std::string precision;
    int steps;
    double tolerance;
  };
  // In 16 bits the last bit of a start weight moves the gradients of nets as small as these by
  // more.
  const Way ways[] = {{"fp32", 3, 1e-3}, {"fp16", 1, 0.2}, {"bf16", 1, 0.3}};
  int seen = 0;
  for (const auto& entry : fs::directory_iterator(EXPGRAPH_SOURCE_DIR "/graphs/pipelines")) {
    for (const auto& [precision, steps, tolerance] : ways) {
      const CompiledPipeline compiled = compile_narrow(entry.path(), "libtorch", precision);
      const int before = kEmulated ? own_kernels() : 0;
      const int ahead = kEmulated ? counted("sgd_update_lookahead") : 0;
      const Outcome want = train(compiled, "reference", steps);
      const Outcome got = train(compiled, "libtorch", steps);
      const std::string where = entry.path().filename().string() + " in " + precision;
      const std::string how = first_difference(want, got, tolerance, tolerance);
      CHECK_MESSAGE(how == "", where, ": ", how);
      CHECK_MESSAGE(std::abs(loss_of(got) / loss_of(want) - 1) < tolerance / 30, where);
      if (kEmulated) {
        CHECK(own_kernels() >= before + 15);
        // One for each learning rate: of weights, biases and the first bias.
        const int updates = entry.path().stem() == "airbench94" ? 3 : 0;
        CHECK(counted("sgd_update_lookahead") == ahead + updates);
      }
      ++seen;
    }
  }
  CHECK(seen >= 9);
}

namespace {
/// Updates of three parameters, two of them with one learning rate, each with its average.
Graph averaged_updates(bool choice) {
  std::string text = R"(
    %decay = input decay : f32[]
    %when = input average/when : f32[]
    %last = input average/last : f32[])";
  const char* types[] = {"f32[5,3,3,2]", "f32[17]", "f32[7,4]"};
  for (int k = 0; k < 3; ++k)
    text += fmt::format(R"(
    %p{0} = state p{0} : {1} uniform(-1, 1) trainable
    %m{0} = state p{0}/momentum : {1} uniform(-1, 1)
    %a{0} = state p{0}/average : {1} uniform(-1, 1)
    %g{0} = input g{0} : {1}
    %lr{0} = input lr{0} : f32[])",
                        k, types[k]);
  std::string updates;
  for (int k = 0; k < 3; ++k) {
    text += fmt::format(R"(
    %n{0}, %v{0} = sgd_update(%p{0}, %g{0}, %lr{1}, %m{0}) {{
        momentum=0.9, nesterov=true, weight_decay=0.05}} @ update/p{0}
    %b{0} = average_update(%a{0}, %n{0}, %decay, %when) @ average/p{0})",
                        k, k / 2);
    if (choice) text += fmt::format("\n    %c{0} = choose(%n{0}, %b{0}, %last) @ choice/p{0}", k);
    updates += fmt::format(R"(
    update p{0} = %{1}{0}
    update p{0}/momentum = %v{0}
    update p{0}/average = %b{0})",
                           k, choice ? 'c' : 'n');
  }
  return parse(text + updates);
}
}  // namespace

TEST_CASE("updates with averages are one launch of an own kernel for each learning rate") {
  if (no_cuda_module()) return;
  for (const bool choice : {false, true}) {
    const Graph plain = averaged_updates(choice), step = fused(plain);
    constexpr int kSteps = 4;
    RandomTraining want(load_backend("reference")), got(load_backend("libtorch"));
    want.run(plain, plan_memory(plain, target("reference")), kSteps, "");
    const char* kind = choice ? "sgd_update_lookahead" : "sgd_update_average";
    const int kernels = kEmulated ? counted(kind) : 0;
    const int launches = kEmulated ? counted("launches") : 0;
    got.run(step, plan_memory(step, target("libtorch")), kSteps, "");
    const std::string how = first_difference(want.outcome(), got.outcome(), 1e-6);
    CHECK_MESSAGE(how == "", "choice ", choice, ": ", how);
    if (!kEmulated) continue;
    CHECK(counted(kind) == kernels + 2);
    CHECK(counted("launches") == launches + 2 * kSteps);
  }
}

TEST_CASE("a net with averages trains as on reference, fused by own kernels and not") {
  if (no_cuda_module()) return;
  struct Way {
    std::string average, kind;
  };
  for (const auto& [average, kind] :
       {Way{"average: {op: ema, decay: 0.75, every: 3}", "sgd_update_average"},
        Way{"slow: {op: lookahead, decay: lr, every: 3}", "sgd_update_lookahead"}}) {
    for (const bool fuse : {true, false}) {
      const FlatSpec spec =
          tiny_spec("batch: 4, drop_last: true",
                    {average, "biases: {op: parameter_group, parameters: \"**/bias\", lr: 64}"});
      const CompiledPipeline compiled =
          compile_pipeline(spec, {.backend = "libtorch", .fuse = fuse});
      const Outcome want = train(compiled, "reference", 6);
      const int before = kEmulated ? counted(kind) : 0;
      const std::string how = first_difference(want, train(compiled, "libtorch", 6), 1e-3);
      CHECK_MESSAGE(how == "", kind, fuse ? " fused: " : ": ", how);
      if (kEmulated) CHECK(counted(kind) - before == (fuse ? 2 : 0));
    }
  }
}

TEST_CASE("a constant input is copied to the device once, any other in every run") {
  if (no_cuda_module()) return;
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::f32, {3}});
  const ValueId y = graph.add_input("y", {DType::f32, {3}});
  graph.add_result("sum", graph.add("add", {x, y}, {}, "add"));
  const Backend& backend = load_backend("libtorch");
  const auto program = backend.compile(graph, plan_memory(graph, target("libtorch")), {});
  const auto store = backend.make_store();
  Tensor constant({DType::f32, {3}}), other({DType::f32, {3}}), sum({DType::f32, {3}});
  const auto run = [&](double value) {
    for (int64_t i = 0; i < 3; ++i) constant.set(i, value);
    for (int64_t i = 0; i < 3; ++i) other.set(i, 10 * value);
    const std::vector<Binding> inputs{{"x", constant.view(), true}, {"y", other.view()}};
    const std::vector<Binding> results{{"sum", sum.view()}};
    program->run(inputs, results, *store);
    return sum.at(2);
  };
  CHECK(run(1) == 11);
  CHECK(run(2) == 21);
  CHECK(run(3) == 31);
}

TEST_CASE("samples that stay on the device and batches that are made there train as on reference") {
  if (no_cuda_module()) return;
  OpenDatasets datasets({.cache = (fs::temp_directory_path() / "expgraph_cuda_test").string()});
  const BackendDifferences found =
      verify_backends(tiny_spec("batch: 8, test_batch: 8"), load_backend("reference"),
                      load_backend("libtorch"), datasets, {.steps = 8});
  CHECK(found.losses.size() == 8);
  for (const Difference& loss : found.losses) CHECK_MESSAGE(loss.relative <= 1e-4, loss.name);
}

TEST_CASE("equal steps give equal bits") {
  if (no_cuda_module()) return;
  const CompiledPipeline compiled =
      compile_narrow(EXPGRAPH_SOURCE_DIR "/graphs/pipelines/davidnet.yaml", "libtorch", "fp16");
  CHECK(first_difference(train(compiled, "libtorch", 2), train(compiled, "libtorch", 2), 0) == "");
}
