// onednn_bf16: casts to the bit, convolutions of maps that no cache holds, and steps of every
// pipeline in bf16 on onednn, against reference; with AMX, where there is one, and without.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "core/passes/passes.h"
#include "core/passes/precision.h"
#include "core/support/amx.h"
#include "core/support/half.h"
#include "tests/support/guarded_run.h"
#include "tests/support/narrow_pipeline.h"
#include "tests/support/random_case.h"
#include "tests/support/training.h"

using namespace expgraph;
using namespace expgraph::test;

namespace {

/// As long as it lives, the backend makes its kernels without AMX.
class WithoutAmx {
 public:
  explicit WithoutAmx(bool is) {
    if (is) setenv("EXPGRAPH_AMX", "off", 1);
  }
  ~WithoutAmx() { unsetenv("EXPGRAPH_AMX"); }
};

/// Whether there are both ways to test.
std::vector<bool> ways() {
  if (amx_multiplies()) return {false, true};
  MESSAGE("test skipped: with AMX, which this processor does not have");
  return {true};
}

Tensors run_on(const char* backend, const Graph& graph, const Tensors& inputs, int threads) {
  GuardedRun run =
      guarded_run(load_backend(backend), graph, guarded_plan(graph), inputs, {}, threads);
  CHECK(run.faults == std::vector<std::string>());
  return std::move(run.results);
}

void check_conv(const Shape& x, const Shape& w, int64_t stride, int64_t padding) {
  const OpCase c = make_case({{"conv2d", attributes({{"channels", w[0]},
                                                     {"kernel", std::vector<int64_t>{w[2], w[3]}},
                                                     {"stride", both(stride)},
                                                     {"padding", both(padding)},
                                                     {"bias", false}})}},
                             {f32(x), f32(w)}, "");
  const Graph graph = precision(*gradient_graph(c), DType::bf16);
  const Tensors inputs = make_inputs(c, graph);
  const Tensors want = run_on("reference", graph, inputs, 1);
  for (const bool off : ways()) {
    const WithoutAmx without(off);
    for (int threads = 1; threads <= 3; threads += 2) {
      for (const auto& [name, tensor] : run_on("onednn", graph, inputs, threads)) {
        // Each is rounded once; floats are summed in another order before that.
        const std::string fault = difference(want.at(name), tensor, 1.0 / (1 << 8));
        CHECK_MESSAGE(fault.empty(), c.name, off ? " without AMX, " : ", ", threads,
                      " threads: ", name, ": ", fault);
      }
    }
  }
}

Outcome train(const CompiledPipeline& compiled, const char* backend) {
  RandomTraining training(load_backend(backend), 0.01f);
  training.run(compiled.train.step.graph, compiled.train.step.plan, 1, "step ");
  if (compiled.test)
    training.run(compiled.test->step.graph, compiled.test->step.plan, 1, "evaluation ");
  return training.outcome();
}

/// Root of the mean over all entries of the mean square of the difference, in units of the entry's
/// largest element.
double distance(const Outcome& want, const Outcome& got) {
  REQUIRE(want.size() == got.size());
  double sum = 0;
  for (const auto& [name, tensor] : want) {
    const std::vector<double> a = tensor.values(), b = got.at(name).values();
    double largest = 1e-30, squares = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      CHECK(std::isfinite(b[i]));
      largest = std::max(largest, std::abs(a[i]));
      squares += (a[i] - b[i]) * (a[i] - b[i]);
    }
    sum += squares / (largest * largest * static_cast<double>(a.size()));
  }
  return std::sqrt(sum / static_cast<double>(want.size()));
}

}  // namespace

TEST_CASE("floats are rounded to bf16 as reference rounds them, NaN, infinities and ties too") {
  Graph graph;
  const int64_t count = 4099;
  const ValueId x = graph.add_input("x", {DType::f32, {count}});
  Attributes narrow, wide;
  narrow.set("dtype", std::string("bf16"));
  wide.set("dtype", std::string("f32"));
  const ValueId y = graph.add("cast", {x}, narrow, "narrow");
  graph.add_result("short", y);
  graph.add_result("back", graph.add("cast", {y}, wide, "wide"));
  Tensors inputs;
  Tensor& values = inputs.emplace("x", Tensor({DType::f32, {count}})).first->second;
  Random random(7);
  for (int64_t i = 0; i < count; ++i) {
    auto bits = static_cast<uint32_t>(random.in(0, (int64_t{1} << 32) - 1));
    if (i % 3 == 0) bits = (bits & 0xffff'0000u) | 0x8000u;  // halfway between two
    if (i % 5 == 0) bits |= 0x7f80'0000u;                    // infinite or no number
    if (i % 7 == 0) bits &= 0x807f'ffffu;                    // less than any normal one
    std::memcpy(values.bytes.data() + 4 * i, &bits, sizeof bits);
  }
  const GuardedRun want =
      guarded_run(load_backend("reference"), graph, guarded_plan(graph), inputs);
  const GuardedRun got = guarded_run(load_backend("onednn"), graph, guarded_plan(graph), inputs);
  CHECK(got.results.at("short").bytes == want.results.at("short").bytes);
  CHECK(got.results.at("back").bytes == want.results.at("back").bytes);
}

TEST_CASE(
    "convolutions in bf16 of maps larger than a cache, in bands of rows, do what reference does") {
  check_conv({2, 40, 131, 70}, {33, 40, 3, 3}, 1, 1);
  check_conv({1, 64, 90, 150}, {20, 64, 5, 2}, 1, 1);
  check_conv({1, 8, 700, 120}, {70, 8, 1, 1}, 1, 0);
}

TEST_CASE("convolutions in bf16 of odd windows and strides do what reference does") {
  check_conv({5, 67, 9, 11}, {65, 67, 7, 3}, 1, 2);
  check_conv({33, 3, 8, 8}, {32, 3, 2, 2}, 1, 0);
  check_conv({3, 33, 4, 4}, {31, 33, 3, 3}, 1, 2);
  check_conv({4, 32, 15, 9}, {32, 32, 3, 3}, 2, 1);
}

TEST_CASE("a fusion in bf16 that has no kernel of its own does what its body does") {
  const Target pairs{.name = "onednn", .fusions = {{"scale_relu", {"scale", "relu"}}}, .types = {}};
  const OpCase c =
      make_case({{"scale", attributes({{"factor", 2.0}})}, {"relu", {}}}, {f32({3, 5, 4, 7})}, "");
  const Graph graph = precision(forward_graph(c), DType::bf16), fused = fuse(graph, pairs);
  REQUIRE(std::ranges::any_of(fused.nodes(), [](const Node& n) { return n.body != nullptr; }));
  const Tensors inputs = make_inputs(c, graph);
  const Tensors want = run_on("reference", graph, inputs, 1);
  for (const auto& [name, tensor] : run_on("onednn", fused, inputs, 2))
    CHECK(tensor.bytes == want.at(name).bytes);
}

TEST_CASE("every pipeline of the tree trains in bf16 as near reference as that is to fp32") {
  int seen = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(EXPGRAPH_SOURCE_DIR "/graphs/pipelines")) {
    INFO(entry.path().filename().string());
    const CompiledPipeline compiled = compile_narrow(entry.path(), "onednn", "bf16");
    const Outcome want = train(compiled, "reference");
    const Outcome fp32 = train(compile_narrow(entry.path(), "onednn", "fp32"), "onednn");
    const double noise = distance(want, fp32);
    CHECK(noise > 1e-4);
    for (const bool off : ways()) {
      const WithoutAmx without(off);
      const Outcome got = train(compiled, "onednn");
      CHECK(distance(want, got) <= 1.5 * noise);
      CHECK(first_difference(train(compiled, "onednn"), got, 0) == "");  // equal bits again
    }
    ++seen;
  }
  CHECK(seen >= 3);
}
