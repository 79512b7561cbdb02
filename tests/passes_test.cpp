// passes_test: simplification, gradients, steps: text in, text out; a simple text stays as it is.
#include "core/passes/passes.h"

#include <doctest/doctest.h>

#include <array>

#include "core/ir/op_schema.h"
#include "core/passes/analysis.h"
#include "tests/graph_case.h"

using namespace expgraph;

namespace {

void check_simplified(std::string_view before, std::string_view after) {
  const auto pass = [](const Graph& graph) { return simplify(graph); };
  CHECK(run(before, pass) == graph_of(after));
  CHECK(run(after, pass) == graph_of(after));
}

void check_kept(std::string_view body) { check_simplified(body, body); }

/// The text with the gradients of the result "loss" by the leaves as results d0, d1, ...
std::string differentiated(std::string_view body, std::vector<std::string> leaves) {
  Graph graph = parse(body);
  std::vector<ValueId> values;
  for (const std::string& leaf : leaves) values.push_back(graph.find_leaf(leaf)->value);
  const std::vector<ValueId> gradients = differentiate(graph, graph.results()[0].value, values);
  for (size_t k = 0; k < gradients.size(); ++k) {
    if (gradients[k].valid()) graph.add_result(fmt::format("d{}", k), gradients[k]);
  }
  verify(graph);
  return to_text(graph);
}

OptimiserSpec sgd(const Graph& graph, double momentum) {
  OptimiserSpec optimiser{.path = "update", .op = &op("sgd")};
  optimiser.attributes.set("momentum", momentum);
  optimiser.attributes = complete_attributes(op("sgd"), optimiser.attributes);
  optimiser.loss = graph.results()[0].value;
  optimiser.lr = graph.find_leaf("lr")->value;
  return optimiser;
}

std::string step_of(std::string_view body, double momentum) {
  const Graph graph = parse(body);
  const Graph step = make_step(graph, {.optimisers = {sgd(graph, momentum)}});
  verify(step);
  return to_text(step);
}

}  // namespace

TEST_CASE("simplify: what only hands its input on goes") {
  check_simplified(R"(
    %x = input x : f32[2,3]
    %a = concat(%x) {axis=1} @ a
    %b = scale(%a) {factor=1} @ b
    %c = reshape(%b) {shape=[2,3]} @ c
    %d = flatten(%c) @ d
    %e = relu(%d) @ e
    result y = %e)",
                   R"(
    %x = input x : f32[2,3]
    %e = relu(%x) @ e
    result y = %e)");
}

TEST_CASE("simplify: scales of scales and reshapes of reshapes become one") {
  check_simplified(R"(
    %x = input x : f32[2,3,4,1]
    %a = scale(%x) {factor=0.5} @ a
    %b = scale(%a) {factor=4} @ b
    %c = scale(%b) {factor=3} @ c
    %d = flatten(%c) @ d
    %e = reshape(%d) {shape=[4,6]} @ e
    %f = reshape(%e) {shape=[24]} @ f
    result y = %f)",
                   R"(
    %x = input x : f32[2,3,4,1]
    %c = scale(%x) {factor=6} @ c
    %f = reshape(%c) {shape=[24]} @ f
    result y = %f)");
}

TEST_CASE("simplify: scales whose factors cancel vanish") {
  check_simplified(R"(
    %x = input x : f32[2]
    %a = scale(%x) {factor=0.5} @ a
    %b = scale(%a) {factor=2} @ b
    result y = %b)",
                   R"(
    %x = input x : f32[2]
    result y = %x)");
}

TEST_CASE("simplify: pooling goes before relu, through a chain of both") {
  check_simplified(R"(
    %x = input x : f32[1,2,8,8]
    %a = relu(%x) @ a
    %b, %i = max_pool(%a) {size=[2]} @ b
    %c = relu(%b) @ c
    %d, %j = max_pool(%c) {size=[2]} @ d
    result y = %d)",
                   R"(
    %x = input x : f32[1,2,8,8]
    %b, %i = max_pool(%x) {size=[2]} @ b
    %d, %j = max_pool(%b) {size=[2]} @ d
    %a = relu(%d) @ a
    %c = relu(%a) @ c
    result y = %c)");
}

TEST_CASE("simplify: pooling stays after a relu that others read, or whose index is read") {
  check_kept(R"(
    %x = input x : f32[1,2,8,8]
    %a = relu(%x) @ a
    %b, %i = max_pool(%a) {size=[2]} @ b
    result y = %b
    result a = %a)");
  check_kept(R"(
    %x = input x : f32[1,2,8,8]
    %a = relu(%x) @ a
    %b, %i = max_pool(%a) {size=[2]} @ b
    %c = add(%a, %x) @ c
    result y = %b
    result c = %c)");
  check_kept(R"(
    %x = input x : f32[1,2,8,8]
    %a = relu(%x) @ a
    %b, %i = max_pool(%a) {size=[2]} @ b
    result y = %b
    result i = %i)");
}

TEST_CASE("simplify: equal nodes become one, also those that become equal") {
  check_simplified(R"(
    %x = input x : f32[2]
    %a = scale(%x) {factor=1} @ a
    %b = relu(%a) @ b
    %c = relu(%x) @ c
    %d = add(%b, %c) @ d
    result y = %d)",
                   R"(
    %x = input x : f32[2]
    %b = relu(%x) @ b
    %d = add(%b, %b) @ d
    result y = %d)");
}

TEST_CASE("simplify: nodes that differ in an attribute or in the order of inputs stay apart") {
  check_kept(R"(
    %x = input x : f32[2,2]
    %w = input w : f32[2,2]
    %a = scale(%x) {factor=2} @ a
    %b = scale(%x) {factor=3} @ b
    %c = linear(%a, %b, _) {features=2, bias=false} @ c
    %d = linear(%b, %a, _) {features=2, bias=false} @ d
    %e = add(%c, %d) @ e
    result y = %e)");
}

TEST_CASE("simplify: dead nodes go, leaves and updates stay") {
  check_simplified(R"(
    %x = input x : f32[2]
    %s = state s : f32[2] constant(0)
    %unread = state unread : f32[2] constant(0) trainable
    %a = relu(%x) @ a
    %b = add(%a, %unread) @ b
    %c = add(%a, %s) @ c
    result y = %x
    update s = %c)",
                   R"(
    %x = input x : f32[2]
    %s = state s : f32[2] constant(0)
    %unread = state unread : f32[2] constant(0) trainable
    %a = relu(%x) @ a
    %c = add(%a, %s) @ c
    result y = %x
    update s = %c)");
}

TEST_CASE("simplify: values that are followed stay and get their new ids") {
  const Graph graph = parse(R"(
    %x = input x : f32[2]
    %dead = relu(%x) @ dead
    %a = scale(%x) {factor=1} @ a
    %b = scale(%a) {factor=3} @ b)");
  std::array followed{graph.output({2}), graph.output({1})};
  const Graph after = simplify(graph, followed);
  REQUIRE(after.nodes().size() == 1);
  CHECK(followed[0] == after.output({0}));
  CHECK(followed[1] == after.find_leaf("x")->value);
}

TEST_CASE("differentiate: only what the gradients need is added") {
  constexpr std::string_view forward = R"(
    %x = input x : f32[2,3]
    %label = input label : i32[2]
    %w = state w : f32[4,3] constant(0) trainable
    %b = state b : f32[4] constant(0) trainable
    %y = linear(%x, %w, %b) {features=4} @ fc
    %l = cross_entropy(%y, %label) @ loss
    result loss = %l)";
  CHECK(differentiated(forward, {"b"}) == graph_of(fmt::format(R"({}
    %g = constant() {{value=1}} @ loss/backward
    %dy = cross_entropy_backward(%g, %y, %label) @ loss/backward
    %db = channel_sum(%dy) @ fc/backward
    result d0 = %db)",
                                                               forward)));
}

TEST_CASE("differentiate: a value read more than once gets one sum, the last reader's term first") {
  constexpr std::string_view forward = R"(
    %x = state x : f32[2,4] constant(0) trainable
    %label = input label : i32[2]
    %a = scale(%x) {factor=2} @ a
    %b = scale(%a) {factor=3} @ b
    %c = add(%a, %b, %a) @ c
    %l = cross_entropy(%c, %label) @ loss
    result loss = %l)";
  CHECK(differentiated(forward, {"x"}) == graph_of(fmt::format(R"({}
    %g = constant() {{value=1}} @ loss/backward
    %dc = cross_entropy_backward(%g, %c, %label) @ loss/backward
    %db = scale(%dc) {{factor=3}} @ b/backward
    %da = add(%dc, %dc, %db) @ a/backward
    %dx = scale(%da) {{factor=2}} @ a/backward
    result d0 = %dx)",
                                                               forward)));
}

TEST_CASE("differentiate: a leaf that the loss does not depend on has no gradient") {
  constexpr std::string_view forward = R"(
    %x = input x : f32[2,4]
    %label = input label : i32[2]
    %w = state w : f32[2,4] constant(0) trainable
    %unused = relu(%w) @ unused
    %l = cross_entropy(%x, %label) @ loss
    result loss = %l)";
  CHECK(differentiated(forward, {"w"}) == graph_of(forward));
}

TEST_CASE("differentiate: an operator without a gradient on the way is an error") {
  constexpr std::string_view forward = R"(
    %w = state w : f32[2,4] constant(0) trainable
    %label = input label : i32[2]
    %n = correct(%w, %label) @ accuracy
    result loss = %n)";
  CHECK_THROWS_WITH_AS(
      differentiated(forward, {"w"}),
      "'correct' has no gradient, and parameters reach the loss through 'accuracy'", Error);
}

namespace {
constexpr std::string_view kForward = R"(
    %x = input x : f32[2,3]
    %label = input label : i32[2]
    %lr = input lr : f32[]
    %w = state net/w : f32[4,3] constant(0) trainable
    %frozen = state net/b : f32[4] constant(0)
    %y = linear(%x, %w, %frozen) {features=4} @ net
    %l = cross_entropy(%y, %label) @ loss
    result loss = %l)";
}

TEST_CASE("make_step: every trainable state gets its update, and its momentum as a state") {
  CHECK(step_of(kForward, 0.5) == graph_of(fmt::format(R"({}
    %g = constant() {{value=1}} @ loss/backward
    %dy = cross_entropy_backward(%g, %y, %label) @ loss/backward
    %dw = linear_backward_weights(%dy, %x) @ net/backward
    %m = state net/w/momentum : f32[4,3] constant(0)
    %w1, %m1 = sgd_update(%w, %dw, %lr, %m) {{momentum=0.5}} @ update/net/w
    update net/w = %w1
    update net/w/momentum = %m1)",
                                                       kForward)));
}

TEST_CASE("make_step: without momentum there is no state of it") {
  CHECK(step_of(kForward, 0) == graph_of(fmt::format(R"({}
    %g = constant() {{value=1}} @ loss/backward
    %dy = cross_entropy_backward(%g, %y, %label) @ loss/backward
    %dw = linear_backward_weights(%dy, %x) @ net/backward
    %w1 = sgd_update(%w, %dw, %lr, _) @ update/net/w
    update net/w = %w1)",
                                                     kForward)));
}

TEST_CASE("make_step: a parameter that only dead nodes read is left alone") {
  const std::string with_dead = fmt::format(R"({}
    %v = state dead/v : f32[2,3] constant(0) trainable
    %r = add(%v, %x) @ dead)",
                                            kForward);
  const Graph graph = parse(with_dead);
  const Graph step = make_step(graph, {.optimisers = {sgd(graph, 0)}});
  CHECK(step.updates().size() == 1);
  CHECK(step.find_leaf("dead/v/momentum") == nullptr);
}

TEST_CASE("make_step: a parameter that is read but that the loss cannot teach is an error") {
  const std::string with_head = fmt::format(R"({}
    %v = state head/v : f32[2,3] constant(0) trainable
    %h = add(%v, %x) @ head
    result head = %h)",
                                            kForward);
  const Graph graph = parse(with_head);
  CHECK(message_of([&] { make_step(graph, {.optimisers = {sgd(graph, 0)}}); }) ==
        "error: parameter 'head/v' would never be updated: the loss of 'update' does not depend on "
        "it\ngraph.txt:10:8: note: 'head' reads it\n");
}

TEST_CASE("make_step: a loss without parameters is an error") {
  const Graph graph = parse(R"(
    %x = input x : f32[2,3]
    %label = input label : i32[2]
    %lr = input lr : f32[]
    %l = cross_entropy(%x, %label) @ loss
    result loss = %l)");
  CHECK(message_of([&] { make_step(graph, {.optimisers = {sgd(graph, 0)}}); }) ==
        "error: 'update' has nothing to update: its loss depends on no parameter\n");
}

TEST_CASE("update_early: choices between new and old values, and averages, run with the update") {
  constexpr std::string_view leaves = R"(
    %w = state w : f32[2] constant(0) trainable
    %m = state m : f32[2] constant(0)
    %a = state a : f32[2] constant(0)
    %g = input g : f32[2]
    %lr = input lr : f32[]
    %x = relu(%g) @ x
)";
  constexpr std::string_view updates = R"(
    %w1, %m1 = lars_update(%w, %x, %lr, %m) @ update/w
    %w2 = choose(%w, %w1, %lr) @ scaling/w
    %m2 = choose(%m, %m1, %lr) @ scaling/m
    %a1 = average_update(%a, %w2, %lr, %lr) @ average/w
)";
  constexpr std::string_view rest = "%y = relu(%x) @ y\n";
  constexpr std::string_view ends = R"(
    result y = %y
    update w = %w2
    update m = %m2
    update a = %a1)";
  const std::string late = fmt::format("{}{}{}{}", leaves, rest, updates, ends);
  const std::string early = fmt::format("{}{}{}{}", leaves, updates, rest, ends);
  CHECK(run(late, update_early) == graph_of(early));
}

TEST_CASE(
    "update_early: an update runs right after its gradient and the last reader of its state") {
  constexpr std::string_view leaves = R"(
    %x = input x : f32[2,3]
    %label = input label : i32[2]
    %lr = input lr : f32[]
    %w1 = state w1 : f32[3,3] constant(0) trainable
    %w2 = state w2 : f32[4,3] constant(0) trainable
    %h = linear(%x, %w1) {features=3, bias=false} @ first
    %y = linear(%h, %w2) {features=4, bias=false} @ second
    %g = constant() {value=1} @ g
    %dy = cross_entropy_backward(%g, %y, %label) @ dy
    %d2 = linear_backward_weights(%dy, %h) @ d2
    %dh = linear_backward_data(%dy, %w2) @ dh
)";
  const auto ends_with = [&](std::string_view end) {
    return fmt::format("{}{}\n update w1 = %n1\n update w2 = %n2", leaves, end);
  };
  const std::string late = ends_with(R"(
    %d1 = linear_backward_weights(%dh, %x) @ d1
    %n1 = sgd_update(%w1, %d1, %lr) @ update/w1
    %n2 = sgd_update(%w2, %d2, %lr) @ update/w2)");
  const std::string early = ends_with(R"(
    %n2 = sgd_update(%w2, %d2, %lr) @ update/w2
    %d1 = linear_backward_weights(%dh, %x) @ d1
    %n1 = sgd_update(%w1, %d1, %lr) @ update/w1)");
  CHECK(run(late, update_early) == graph_of(early));
  CHECK(run(early, update_early) == graph_of(early));
}

TEST_CASE("to_double: every f32 becomes f64, integers stay, the step can still be made") {
  CHECK(run(kForward, to_double) == graph_of(R"(
    %x = input x : f64[2,3]
    %label = input label : i32[2]
    %lr = input lr : f64[]
    %w = state net/w : f64[4,3] constant(0) trainable
    %frozen = state net/b : f64[4] constant(0)
    %y = linear(%x, %w, %frozen) {features=4} @ net
    %l = cross_entropy(%y, %label) @ loss
    result loss = %l)"));
  const Graph graph = parse(kForward);
  const Graph first = to_double(make_step(graph, {.optimisers = {sgd(graph, 0.5)}}));
  const Graph doubled = to_double(graph);
  CHECK(same_graph(first, make_step(doubled, {.optimisers = {sgd(doubled, 0.5)}})));
}

TEST_CASE("run_passes: the walk of a step, each stage reported, unchanged ones as such") {
  const Graph graph = parse(kForward);
  const TrainingSpec training{.optimisers = {sgd(graph, 0.5)}};
  std::string stages;
  std::vector<PassReport> reports;
  const PassOptions options{.dump =
                                [&](std::string_view stage, const Graph& now, bool changed) {
                                  verify(now);
                                  stages +=
                                      fmt::format("{}{} ", stage, changed ? "" : " (unchanged)");
                                },
                            .reports = &reports};
  const Graph step = run_passes(graph, &training, target("onednn"), options);
  CHECK(stages ==
        "simplify (unchanged) make_step simplify_step (unchanged) recompute (unchanged) fuse "
        "(unchanged) update_early (unchanged) ");
  REQUIRE(reports.size() == 6);
  CHECK(reports[1].name == "make_step");
  CHECK(reports[1].changed);
  CHECK(same_graph(step, make_step(graph, training)));
}

TEST_CASE("run_passes: the optimiser follows its loss through simplification") {
  const Graph graph = parse(R"(
    %x = input x : f32[2,4]
    %dead = relu(%x) @ dead
    %w = state w : f32[2,4] constant(0) trainable
    %label = input label : i32[2]
    %lr = input lr : f32[]
    %a = scale(%w) {factor=1} @ a
    %b = add(%a, %x) @ b
    %l = cross_entropy(%b, %label) @ loss
    result loss = %l)");
  const TrainingSpec training{.optimisers = {sgd(graph, 0)}};
  const Graph step = run_passes(graph, &training, target("reference"), {});
  REQUIRE(step.updates().size() == 1);
  CHECK(step.updates()[0].state == step.find_leaf("w")->value);
}

TEST_CASE("run_passes: a type that the target does not compute in is an error") {
  const Graph doubled = to_double(parse(kForward));
  CHECK_NOTHROW(run_passes(doubled, nullptr, target("reference"), {}));
  CHECK_THROWS_WITH_AS(run_passes(doubled, nullptr, target("onednn"), {}),
                       "backend 'onednn' does not compute in f64", Error);
}
