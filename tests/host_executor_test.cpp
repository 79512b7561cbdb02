// host_executor: what a run means, with kernels that are lambdas.
#include "core/host_executor.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <limits>
#include <thread>

#include "core/ir/op_schema.h"

using namespace expgraph;

namespace {

const TensorType kPair{DType::f32, {2}};
using Numbers = std::array<float, 2>;

TensorView view(Numbers& numbers) { return {kPair, numbers.data()}; }

Kernel adder() {
  return {[](const KernelArgs& args) {
    for (int i = 0; i < 2; ++i)
      args.outputs[0].as<float>()[i] =
          args.inputs[0].as<float>()[i] + args.inputs[1].as<float>()[i];
  }};
}

/// state += x, with the state before and after as results.
Graph accumulator() {
  Graph graph;
  const ValueId x = graph.add_input("x", kPair);
  const ValueId state = graph.add_state("sum", kPair, {}, false);
  const ValueId sum = graph.add("add", {state, x}, {}, "sum");
  graph.add_result("before", state);
  graph.add_result("after", sum);
  graph.add_update(state, sum);
  return graph;
}

MemoryPlan accumulator_plan(const Graph& graph) {
  const ValueId x = graph.leaves()[0].value, state = graph.leaves()[1].value;
  MemoryPlan plan;
  plan.placements = {{Placement::Kind::binding, 0, x},
                     {Placement::Kind::state, 0, state},
                     {Placement::Kind::arena, 64, {}}};
  plan.arena_bytes = 128;
  plan.copies = graph.updates();
  return plan;
}

/// z = relu(relu(x))
Graph relu_twice() {
  Graph graph;
  const ValueId x = graph.add_input("x", kPair);
  const ValueId y = graph.add("relu", {x}, {}, "y");
  graph.add_result("z", graph.add("relu", {y}, {}, "z"));
  return graph;
}

/// z lies in the arena so far from y.
MemoryPlan relu_twice_plan(const Graph& graph, int64_t z_offset) {
  MemoryPlan plan;
  plan.placements = {{Placement::Kind::binding, 0, graph.leaves()[0].value},
                     {Placement::Kind::arena, 0, {}},
                     {Placement::Kind::arena, z_offset, {}}};
  plan.arena_bytes = 128;
  return plan;
}

}  // namespace

TEST_CASE("results are those of before the update, states those of after") {
  const Graph graph = accumulator();
  HostStateStore store;
  store.create("sum", kPair);
  Numbers x{1, 2}, before{}, after{};
  HostExecutable program(graph, accumulator_plan(graph), {adder()}, {});
  const std::vector<Binding> inputs{{"x", view(x)}},
      results{{"before", view(before)}, {"after", view(after)}};
  program.run(inputs, results, store);
  program.run(inputs, results, store);
  CHECK(before == Numbers{1, 2});
  CHECK(after == Numbers{2, 4});
  Numbers state{};
  store.read("sum", view(state));
  CHECK(state == Numbers{2, 4});
}

TEST_CASE("an update that the plan puts into its state is written there by the kernel") {
  Graph graph = accumulator();
  MemoryPlan plan = accumulator_plan(graph);
  plan.placements[2] = plan.placements[1];
  plan.copies.clear();
  HostStateStore store;
  store.create("sum", kPair);
  Numbers x{1, 2}, after{};
  HostExecutable program(graph, plan, {adder()}, {});
  program.run(std::vector<Binding>{{"x", view(x)}}, std::vector<Binding>{{"after", view(after)}},
              store);
  CHECK(after == Numbers{1, 2});
  CHECK(std::memcmp(store.data("sum"), after.data(), sizeof after) == 0);
}

TEST_CASE("scratch is aligned and not the bytes of what is alive") {
  const Graph graph = accumulator();
  HostStateStore store;
  store.create("sum", kPair);
  Numbers x{1, 2};
  bool apart = false;
  Kernel kernel{[&](const KernelArgs& args) {
                  const std::byte* out = args.outputs[0].as<std::byte>();
                  apart = reinterpret_cast<uintptr_t>(args.scratch) % 64 == 0 &&
                          out - args.scratch >= 1000;
                  std::fill_n(args.scratch, 1000, std::byte{1});
                },
                1000};
  HostExecutable program(graph, accumulator_plan(graph), {kernel}, {});
  CHECK(program.workspace_bytes() == 1024 + 8);
  program.run(std::vector<Binding>{{"x", view(x)}}, {}, store);
  CHECK(apart);
}

TEST_CASE("what is not bound, of another type, or no result is a mistake of the caller") {
  const Graph graph = accumulator();
  HostStateStore store;
  store.create("sum", kPair);
  HostExecutable program(graph, accumulator_plan(graph), {adder()}, {});
  Numbers x{}, y{};
  const std::vector<Binding> bound{{"x", view(x)}};
  CHECK_THROWS_WITH_AS(program.run({}, {}, store), "nothing is bound to 'x'", std::logic_error);
  CHECK_THROWS_WITH_AS(
      program.run(std::vector<Binding>{{"x", {{DType::f32, {3}}, x.data()}}}, {}, store),
      "'x' is f32[2], bound to f32[3]", std::logic_error);
  CHECK_THROWS_WITH_AS(program.run(bound, std::vector<Binding>{{"middle", view(y)}}, store),
                       "the program has no result 'middle'", std::logic_error);
  HostStateStore empty;
  CHECK_THROWS_WITH_AS(program.run(bound, {}, empty), "no state 'sum' in the store",
                       std::logic_error);
}

TEST_CASE("a node of which nothing is read is not run") {
  const Graph graph = accumulator();
  MemoryPlan plan = accumulator_plan(graph);
  plan.placements[2] = {};
  plan.copies.clear();
  HostStateStore store;
  store.create("sum", kPair);
  Numbers x{};
  HostExecutable program(graph, plan, {{[](const KernelArgs&) { FAIL("run"); }}},
                         {.profile = true});
  program.run(std::vector<Binding>{{"x", view(x)}}, {}, store);
  CHECK(program.profile().empty());
}

TEST_CASE("profile has a time a node; check_finite names the first node that gives NaN") {
  const Graph graph = relu_twice();
  const MemoryPlan plan = relu_twice_plan(graph, 64);
  const Kernel copy{[](const KernelArgs& args) {
    std::copy_n(args.inputs[0].as<float>(), 2, args.outputs[0].as<float>());
  }};
  HostExecutable program(graph, plan, {copy, copy}, {.profile = true, .check_finite = true});
  HostStateStore store;
  Numbers numbers{1, 2};
  const std::vector<Binding> inputs{{"x", view(numbers)}};
  program.run(inputs, {}, store);
  CHECK(program.profile().size() == 2);
  CHECK(!program.first_non_finite());
  numbers[1] = std::numeric_limits<float>::quiet_NaN();
  program.run(inputs, {}, store);
  CHECK(program.profile().size() == 2);
  REQUIRE(program.first_non_finite());
  CHECK(program.first_non_finite()->index == 0);
}

TEST_CASE("repeats: a node that may is run that often, and its best time is kept") {
  const Graph graph = accumulator();
  Numbers x{1, 2}, after{};
  const std::vector<Binding> inputs{{"x", view(x)}}, results{{"after", view(after)}};
  int runs = 0;
  const auto run_three_times = [&](const MemoryPlan& plan) {
    const Kernel slow_at_first{[&](const KernelArgs& args) {
      if (runs++ == 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
      adder().run(args);
    }};
    HostStateStore store;
    store.create("sum", kPair);
    HostExecutable program(graph, plan, {slow_at_first}, {.profile = true, .repeats = 3});
    program.run(inputs, results, store);
    REQUIRE(program.profile().size() == 1);
    return program.profile()[0];
  };
  const NodeTime best = run_three_times(accumulator_plan(graph));
  CHECK(runs == 3);
  CHECK(best.seconds < 0.02);
  CHECK(best.start >= 0.02);
  CHECK(after == Numbers{1, 2});

  // In place, a second run would add x again.
  MemoryPlan plan = accumulator_plan(graph);
  plan.placements[2] = plan.placements[1];
  plan.copies.clear();
  runs = 0;
  const NodeTime only = run_three_times(plan);
  CHECK(runs == 1);
  CHECK(only.seconds >= 0.02);
  CHECK(after == Numbers{1, 2});
}

TEST_CASE("repeats: a node that writes over its input in the arena is run once") {
  const Graph graph = relu_twice();
  const MemoryPlan plan = relu_twice_plan(graph, 4);
  int first = 0, second = 0;
  HostStateStore store;
  Numbers numbers{1, 2};
  HostExecutable program(
      graph, plan, {{[&](const KernelArgs&) { ++first; }}, {[&](const KernelArgs&) { ++second; }}},
      {.profile = true, .repeats = 5});
  program.run(std::vector<Binding>{{"x", view(numbers)}}, {}, store);
  CHECK(first == 5);
  CHECK(second == 1);
}

TEST_CASE("all_finite knows NaN and infinity in every format, and the largest number from them") {
  const auto finite = [](DType dtype, auto bits) { return all_finite({{dtype, {}}, &bits}); };
  CHECK(finite(DType::f32, uint32_t{0x7f7fffff}));
  CHECK(!finite(DType::f32, uint32_t{0xff800000}));
  CHECK(!finite(DType::f32, uint32_t{0x7fc00000}));
  CHECK(finite(DType::f64, uint64_t{0x7fefffffffffffff}));
  CHECK(!finite(DType::f64, uint64_t{0x7ff0000000000000}));
  CHECK(finite(DType::bf16, uint16_t{0x7f7f}));
  CHECK(!finite(DType::bf16, uint16_t{0x7f80}));
  CHECK(finite(DType::f16, uint16_t{0x7bff}));
  CHECK(!finite(DType::f16, uint16_t{0xfc00}));
  CHECK(finite(DType::i32, int32_t{-1}));
}

TEST_CASE("a store zero-fills a new state, keeps an old one, and refuses another type") {
  HostStateStore store;
  store.create("b", kPair);
  store.create("a", kPair);
  Numbers numbers{3, 4};
  store.write("b", view(numbers));
  store.create("b", kPair);
  store.read("b", view(numbers));
  CHECK(numbers == Numbers{3, 4});
  store.read("a", view(numbers));
  CHECK(numbers == Numbers{0, 0});
  CHECK(store.names() == std::vector<std::string>{"a", "b"});
  CHECK_THROWS_WITH_AS(store.create("a", {DType::f32, {3}}),
                       "state 'a' is f32[2], the program expects f32[3]", Error);
}

TEST_CASE("the arena grows when more is asked for, and stays when less is") {
  HostStateStore store;
  const std::byte* large = store.arena(1000);
  CHECK(reinterpret_cast<uintptr_t>(large) % 64 == 0);
  CHECK(store.arena(10) == large);
  std::fill_n(store.arena(100'000), 100'000, std::byte{1});
}
