// libtorch: pipelines and studies on LibTorch beside reference and oneDNN, what a program of it
// observes, what is not loaded without it, and what it says where it cannot run.
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "core/passes/passes.h"
#include "core/pipeline.h"
#include "core/spec/study_spec.h"
#include "core/verify_backends.h"
#include "tests/graph_case.h"
#include "tests/support/narrow_pipeline.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_pipeline.h"
#include "tests/support/training.h"

using namespace expgraph;
using namespace expgraph::test;
namespace fs = std::filesystem;

namespace {

constexpr double kLosses = 1e-4;  ///< of the first steps, relative

bool is_built() {
  const std::vector<std::string> names = backend_names();
  return std::ranges::find(names, "libtorch") != names.end();
}

/// Says so where there is no module to test.
bool skipped() {
  if (is_built()) return false;
  MESSAGE("test skipped: libtorch is not built");
  return true;
}

struct Said {
  int code = 0;
  std::string text;  ///< stdout and stderr
};

/// The program, as a user starts it from the repository; `environment` is put before it.
Said program(const std::string& environment, const std::string& words) {
  const std::string command =
      fmt::format("cd '{}' && {} '{}/bin/expgraph' {} 2>&1", EXPGRAPH_SOURCE_DIR, environment,
                  EXPGRAPH_BINARY_DIR, words);
  FILE* pipe = ::popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  Said outcome;
  char buffer[4096];
  for (size_t count; (count = fread(buffer, 1, sizeof buffer, pipe)) > 0;)
    outcome.text.append(buffer, count);
  outcome.code = WEXITSTATUS(::pclose(pipe));
  return outcome;
}

constexpr const char* kBench = "bench graphs/pipelines/davidnet.yaml --backend libtorch";

/// A step of the net [2, 3] -> scale by `factor` -> relu, and its result.
struct Small {
  explicit Small(double factor) {
    const ValueId x = graph.add_input("x", {DType::f32, {2, 3}});
    Attributes times;
    times.set("factor", factor);
    const ValueId y = graph.add("scale", {x}, times, "times");
    graph.add("relu", {x}, {}, "dead");
    graph.add_result("y", graph.add("relu", {y}, {}, "end"));
  }

  std::unique_ptr<Executable> run(const CompileOptions& options) {
    const Backend& backend = load_backend("libtorch");
    auto program = backend.compile(graph, plan_memory(graph, target("libtorch")), options);
    Tensor in({DType::f32, {2, 3}});
    for (int64_t i = 0; i < 6; ++i) in.set(i, static_cast<double>(i) - 1);
    const std::vector<Binding> inputs{{"x", in.view()}}, results{{"y", out.view()}};
    program->run(inputs, results, *backend.make_store());
    return program;
  }

  Graph graph;
  Tensor out{{DType::f32, {2, 3}}};
};

Tensors train(const Graph& step, const std::string& backend) {
  RandomTraining training(load_backend(backend), 0.01f);
  training.run(step, plan_memory(step, target("libtorch")), 3, "step ");
  return training.outcome();
}

/// Of a step on LibTorch: what runs one by one, or many as one, among optimisers and averages.
int update_runs(const Graph& step) {
  const Backend& backend = load_backend("libtorch");
  const auto program =
      backend.compile(step, plan_memory(step, target("libtorch")), {.profile = true});
  const auto store = backend.make_store();
  Tensors tensors;
  std::vector<Binding> inputs, results;
  for (const Leaf& leaf : step.leaves()) {
    const TensorType& type = step.type(leaf.value);
    if (leaf.kind == LeafKind::state)
      store->create(leaf.name, type);
    else
      inputs.push_back({leaf.name, tensors.emplace(leaf.name, type).first->second.view()});
  }
  for (const Result& result : step.results())
    results.push_back(
        {result.name, tensors.emplace(result.name, step.type(result.value)).first->second.view()});
  program->run(inputs, results, *store);
  int runs = 0;
  for (const NodeTime& time : program->profile()) {
    const Node& node = step.node(time.node);
    const Node& first = node.body ? node.body->nodes()[0] : node;
    for (const char* family : {"update", "adaptive", "average"}) runs += first.op->family == family;
  }
  return runs;
}

/// Variants of the ablation study, small, on generated images.
Study ablations() {
  StudyOptions options{.profile = "quick"};
  options.set = {{"width", "8"}, {"train_images", "600"}, {"test_images", "500"}};
  return read_study(EXPGRAPH_SOURCE_DIR "/experiments/ablations.yaml", options, op_names());
}

}  // namespace

TEST_CASE("every pipeline of the tree trains as on reference, in double, fused and not") {
  if (skipped()) return;
  int seen = 0;
  for (const auto& entry : fs::directory_iterator(EXPGRAPH_SOURCE_DIR "/graphs/pipelines")) {
    for (const char* fusing : {"libtorch", "onednn"}) {
      const CompiledPipeline compiled = compile_narrow(entry.path(), fusing);
      const Graph step = to_double(compiled.train.step.graph);
      const std::string how =
          first_difference(train(step, "reference"), train(step, "libtorch"), 1e-9);
      CHECK_MESSAGE(how == "", entry.path().filename().string(), " as for ", fusing, ": ", how);
      ++seen;
    }
  }
  CHECK(seen >= 4);
}

TEST_CASE("averages of parameters train as on reference in double, many as one, fused and not") {
  if (skipped()) return;
  const std::string ema = "average: {op: ema, decay: 0.75, every: 3}";
  const std::string lookahead = "slow: {op: lookahead, decay: lr, every: 3}";
  const std::string groups = "biases: {op: parameter_group, parameters: \"**/bias\", lr: 64}";
  struct Way {
    std::vector<std::string> nodes;
    int fused, unfused;  ///< runs of updates, of 6 parameters and 2 statistics
  };
  const Way ways[] = {{{}, 1, 1},
                      {{ema}, 2, 3},
                      {{ema, groups}, 3, 5},
                      {{lookahead}, 2, 8},
                      {{lookahead, groups}, 3, 8},
                      {{lookahead, ema}, 4, 9},
                      {{"scaling: loss_scale", ema, groups}, 9, 9}};
  for (const auto& [nodes, fused, unfused] : ways) {
    for (const bool fuse : {true, false}) {
      const FlatSpec spec = tiny_spec("batch: 4, drop_last: true", nodes);
      const CompiledPipeline compiled =
          compile_pipeline(spec, {.backend = "libtorch", .fuse = fuse});
      const Graph step = to_double(compiled.train.step.graph);
      const std::string how =
          first_difference(train(step, "reference"), train(step, "libtorch"), 1e-9);
      const std::string way = fmt::format("{} {}", fmt::join(nodes, ", "), fuse ? "fused" : "");
      CHECK_MESSAGE(how == "", way, ": ", how);
      CHECK_MESSAGE(update_runs(step) == (fuse ? fused : unfused), way);
    }
  }
}

TEST_CASE(
    "updates that have a state twice run one by one, those of states in another order as one") {
  if (skipped()) return;
  const auto averages = [](std::string_view updates) {
    return parse(fmt::format(R"(
    %p = state p : f32[3] uniform(-1, 1)
    %q = state q : f32[5] uniform(-1, 1)
    %a = state a : f32[3] uniform(-1, 1)
    %b = state b : f32[5] uniform(-1, 1)
    %c = state c : f32[3] uniform(-1, 1)
    %d = state d : f32[5] uniform(-1, 1)
    %decay = input decay : f32[]
    %now = input now : f32[]
    %then = input then : f32[]{})",
                             updates));
  };
  const Graph twice = averages(R"(
    %a1 = average_update(%a, %p, %decay, %now) @ a
    %c1 = average_update(%c, %p, %decay, %now) @ c
    %b1 = average_update(%b, %q, %decay, %now) @ b
    %d1 = average_update(%d, %q, %decay, %now) @ d
    update a = %a1
    update b = %b1
    update c = %c1
    update d = %d1)");
  const Graph otherwise = averages(R"(
    %a1 = average_update(%a, %p, %decay, %now) @ a
    %b1 = average_update(%b, %q, %decay, %now) @ b
    %d1 = average_update(%d, %q, %decay, %then) @ d
    %c1 = average_update(%c, %p, %decay, %then) @ c
    update a = %a1
    update b = %b1
    update c = %c1
    update d = %d1)");
  for (const Graph& graph : {twice, otherwise})
    CHECK(first_difference(train(graph, "reference"), train(graph, "libtorch"), 1e-6) == "");
  CHECK(update_runs(twice) == 4);
  CHECK(update_runs(otherwise) == 2);
}

TEST_CASE("in 16 bits a net trains as on reference, and otherwise than in fp32") {
  if (skipped()) return;
  for (const auto& [precision, tolerance] : {std::pair{"bf16", 0.1}, std::pair{"fp16", 0.02}}) {
    FlatSpec spec = tiny_spec("batch: 8, test_batch: 8, drop_last: true");
    const auto outcome = [&](const char* backend) {
      const CompiledPipeline compiled = compile_pipeline(spec, {.backend = "libtorch"});
      RandomTraining training(load_backend(backend), 0.01f);
      training.run(compiled.train.step.graph, compiled.train.step.plan, 2, "step ");
      training.run(compiled.test->step.graph, compiled.test->step.plan, 1, "evaluation ");
      return training.outcome();
    };
    const Outcome fp32 = outcome("reference");
    set_of_train(spec, "precision", precision);
    const Outcome got = outcome("libtorch");
    const std::string how = first_difference(outcome("reference"), got, tolerance, tolerance);
    CHECK_MESSAGE(how == "", precision, ": ", how);
    CHECK(first_difference(fp32, got, 1e-5) != "");
  }
}

TEST_CASE("training within a budget of memory gives the bits of training without one") {
  if (skipped()) return;
  const auto outcome = [](const char* memory) {
    FlatSpec spec = tiny_spec("batch: 16, test_batch: 4, drop_last: true",
                              {"average: {op: ema, decay: 0.75, every: 2}",
                               "slow: {op: lookahead, decay: lr, every: 3}"});
    set_of_train(spec, "memory", memory);
    const CompiledPipeline compiled = compile_pipeline(spec, {.backend = "libtorch"});
    RandomTraining training(load_backend("libtorch"), 0.01f);
    training.run(compiled.train.step.graph, compiled.train.step.plan, 3, "step ");
    return std::pair(training.outcome(), compiled.train.step.budget->values);
  };
  const auto [roomy, none] = outcome("1GB");
  const auto [tight, some] = outcome("250KiB");
  CHECK(none == 0);
  CHECK(some > 0);
  CHECK(first_difference(roomy, tight, 0) == "");
}

TEST_CASE("every variant of the ablations starts as on oneDNN: losses of the first steps agree") {
  if (skipped()) return;
  OpenDatasets datasets({.cache = (fs::temp_directory_path() / "expgraph_libtorch_test").string()});
  const Study study = ablations();
  CHECK(study.variants.size() >= 10);
  for (const Variant& variant : study.variants) {
    const BackendDifferences found = verify_backends(
        variant.spec, load_backend("onednn"), load_backend("libtorch"), datasets, {.steps = 3});
    for (const Difference& loss : found.losses)
      CHECK_MESSAGE(loss.relative <= kLosses, variant.name, ": ", loss.name);
  }
}

TEST_CASE("a node that nobody reads is not run; the profile has the others") {
  if (skipped()) return;
  Small net(2);
  const auto program = net.run({.threads = 1, .profile = true});
  REQUIRE(program->profile().size() == 2);
  CHECK(net.graph.node(program->profile()[0].node).path == "times");
  CHECK(net.graph.node(program->profile()[1].node).path == "end");
  CHECK(net.out.at(0) == 0);
  CHECK(net.out.at(5) == 8);
}

TEST_CASE("the first node that gives NaN or Inf is named") {
  if (skipped()) return;
  Small finite(2), infinite(3e38);
  CHECK(!finite.run({.check_finite = true})->first_non_finite());
  const auto bad = infinite.run({.check_finite = true})->first_non_finite();
  REQUIRE(bad);
  CHECK(infinite.graph.node(*bad).path == "times");
}

TEST_CASE("a program that memory does not hold is refused before it runs") {
  if (skipped()) return;
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::f32, {1 << 16, 1 << 20}});
  for (int k = 0; k < 16; ++k) {
    Attributes times;
    times.set("factor", 2.0 + k);
    graph.add_result(fmt::format("y{}", k), graph.add("scale", {x}, times, "huge"));
  }
  std::string message;
  try {
    load_backend("libtorch").compile(graph, plan_memory(graph, target("libtorch")), {});
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::environment);
    message = error.what();
  }
  const size_t at = message.find("cpu, ") + 5, end = message.find(" GiB are");
  REQUIRE(end != std::string::npos);
  CHECK(message ==
        fmt::format("'graph' needs 4096.0 GiB on cpu, {} GiB are free: make the batch smaller",
                    message.substr(at, end - at)));
}

TEST_CASE("an operator that is not part of a step is refused") {
  if (skipped()) return;
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::f32, {4, 2, 2, 3}});
  graph.add_result("y", graph.add("cache", {x}, {}, "here"));
  CHECK_THROWS_WITH(
      load_backend("libtorch").compile(graph, plan_memory(graph, target("libtorch")), {}),
      "backend 'libtorch' has no kernel for 'cache'");
}

TEST_CASE("a device that cannot be used is an error of one line, before anything runs") {
  if (skipped()) return;
  const auto refused = [](const std::string& environment, const std::string& text) {
    const Said outcome = program(environment, kBench);
    CHECK(outcome.code == 5);
    CHECK(outcome.text == "error: " + text + "\n");
  };
  refused("EXPGRAPH_DEVICE=tpu", "EXPGRAPH_DEVICE is 'tpu', expected cpu or cuda");
  const TemporaryFolder folder;
  const std::string part = (folder.path / "expgraph_libtorch_cuda.so").string();
  fs::copy_file(fs::path(EXPGRAPH_BINARY_DIR) / "lib" / "expgraph_libtorch.so",
                folder.path / "expgraph_libtorch.so");
  const std::string cuda =
      fmt::format("EXPGRAPH_DEVICE=cuda EXPGRAPH_BACKENDS='{}' ", folder.path.string());
  if (dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL) == nullptr)
    refused(cuda,
            "EXPGRAPH_DEVICE is 'cuda', but this machine has no NVIDIA GPU or no driver for it "
            "(libcuda.so.1): EXPGRAPH_DEVICE=cpu runs on the CPU");
  const std::string gpu = cuda + "LD_LIBRARY_PATH='" EXPGRAPH_BINARY_DIR "/fake_driver' ";
  refused(gpu,
          "the CUDA part of backend 'libtorch' is not built, it needs nvcc: EXPGRAPH_DEVICE=cpu "
          "runs on the CPU");
  std::ofstream(part) << "not a module";
  refused(gpu + "FAKE_CAPABILITY=61",
          "Fake GPU has compute capability 6.1, 8.0 or more is needed: EXPGRAPH_DEVICE=cpu runs on "
          "the CPU");
  refused(gpu, fmt::format("the CUDA part of backend 'libtorch' cannot be loaded, {}: file too "
                           "short: ./dev build fetches CUDA's libraries, EXPGRAPH_DEVICE=cpu runs "
                           "on the CPU",
                           part));
}

TEST_CASE("a study on a device that cannot be used ends before its first run") {
  if (skipped()) return;
  const TemporaryFolder store;
  const Said outcome = program(
      "EXPGRAPH_DEVICE=cuda LD_LIBRARY_PATH='" EXPGRAPH_BINARY_DIR
      "/fake_driver' FAKE_DRIVER=11080",
      fmt::format("run experiments/ablations.yaml --profile quick --backend libtorch --runs '{}'",
                  store.path.string()));
  CHECK(outcome.code == 5);
  CHECK(outcome.text ==
        "error: the driver of Fake GPU runs CUDA up to 11.8, 13.0 is needed: update it, or "
        "EXPGRAPH_DEVICE=cpu runs on the CPU\n");
  CHECK(fs::is_empty(store.path));
}

TEST_CASE("backends and doctor tell what keeps the device from being used, and go on") {
  if (skipped()) return;
  for (const char* command : {"backends", "doctor"}) {
    const Said outcome = program("EXPGRAPH_DEVICE=cuda LD_LIBRARY_PATH='" EXPGRAPH_BINARY_DIR
                                 "/fake_driver' FAKE_INIT=999",
                                 command);
    CHECK(outcome.code == 0);
    CHECK_MESSAGE(
        outcome.text.find("NVIDIA's driver does not work, cuInit gives 999") != std::string::npos,
        outcome.text);
    CHECK(outcome.text.find("onednn") != std::string::npos);
  }
}

TEST_CASE("a program without the module says in one line how to get it") {
  const TemporaryFolder folder;
  const Said outcome = program(fmt::format("EXPGRAPH_BACKENDS='{}'", folder.path.string()), kBench);
  CHECK(outcome.code == 5);
  CHECK(outcome.text ==
        "error: backend 'libtorch' is not built: ./expgraph --backend libtorch builds it\n");
}

TEST_CASE("checking, planning, drawing and tables load nothing of LibTorch") {
  const auto loads = [](const std::string& words) {
    const Said outcome = program("LD_DEBUG=files", words);
    CHECK_MESSAGE(outcome.text.find("libexpgraph_core.so") != std::string::npos, words);
    return outcome.text.find("libtorch_cpu.so") != std::string::npos;
  };
  CHECK_FALSE(loads("check experiments/ablations.yaml"));
  CHECK_FALSE(loads("plan graphs/pipelines/davidnet.yaml --backend libtorch"));
  CHECK_FALSE(loads("draw graphs/pipelines/davidnet.yaml"));
  CHECK_FALSE(loads("diff graphs/pipelines/davidnet.yaml graphs/pipelines/dawnbench.yaml"));
  CHECK_FALSE(loads("table experiments/ablations.yaml"));
  if (is_built()) CHECK(loads("backends"));
}
