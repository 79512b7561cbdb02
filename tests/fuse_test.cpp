// fuse_test: chains become fusions, activations are made again, by text in, text out.
#include <doctest/doctest.h>

#include "core/ir/op_schema.h"
#include "core/passes/analysis.h"
#include "core/passes/chains.h"
#include "core/passes/passes.h"
#include "core/passes/plan_memory.h"
#include "tests/graph_case.h"

using namespace expgraph;

namespace {

Target with(std::vector<FusionPattern> patterns) {
  return {.name = "test", .fusions = std::move(patterns), .types = {DType::f32}};
}

void check_fused(std::string_view before, const Target& target, std::string_view after) {
  const auto pass = [&](const Graph& graph) { return fuse(graph, target); };
  CHECK(run(before, pass) == graph_of(after));
  CHECK(run(after, pass) == graph_of(after));
}

void check_unfused(std::string_view body, const Target& target) { check_fused(body, target, body); }

}  // namespace

TEST_CASE("fuse: a chain becomes one node with its inputs, other outputs and body") {
  check_fused(R"(
    %x = input x : f32[2,3,4,4]
    %s = state s : f32[3] constant(1)
    %b = state b : f32[3] constant(0)
    %m = state m : f32[3] constant(0)
    %v = state v : f32[3] constant(1)
    %y, %mean, %inverse, %m1, %v1 = batch_norm(%x, %s, %b, %m, %v) @ norm
    %p, %i = max_pool(%y) {size=[2]} @ pool
    %r = relu(%p) @ relu
    result r = %r
    result i = %i
    update m = %m1
    update v = %v1)",
              target("onednn"), R"(
    %x = input x : f32[2,3,4,4]
    %s = state s : f32[3] constant(1)
    %b = state b : f32[3] constant(0)
    %m = state m : f32[3] constant(0)
    %v = state v : f32[3] constant(1)
    %m1, %v1, %i, %r = fusion(%x, %s, %b, %m, %v) {kind="batch_norm_pool_relu"} @ relu
      body batch_norm_pool_relu {
        %x = input x : f32[2,3,4,4]
        %s = input scale : f32[3]
        %b = input bias : f32[3]
        %m = input running_mean : f32[3]
        %v = input running_var : f32[3]
        %y, %mean, %inverse, %m1, %v1 = batch_norm(%x, %s, %b, %m, %v) @ norm
        %p, %i = max_pool(%y) {size=[2]} @ pool
        %r = relu(%p) @ relu
        result new_running_mean = %m1
        result new_running_var = %v1
        result index = %i
        result y = %r
      }
    result r = %r
    result i = %i
    update m = %m1
    update v = %v1)");
}

TEST_CASE("fuse: the longest pattern wins, whatever the order of the patterns") {
  check_fused(R"(
    %x = input x : f32[2]
    %a = relu(%x) @ a
    %b = scale(%a) {factor=2} @ b
    %c = relu(%b) @ c
    result y = %c)",
              with({{"pair", {"relu", "scale"}}, {"three", {"relu", "scale", "relu"}}}), R"(
    %x = input x : f32[2]
    %c = fusion(%x) {kind="three"} @ c body three {
      %x = input x : f32[2]
      %a = relu(%x) @ a
      %b = scale(%a) {factor=2} @ b
      %c = relu(%b) @ c
      result y = %c
    }
    result y = %c)");
}

TEST_CASE("fuse: a value read by two members is one input; equal names are told apart") {
  check_fused(R"(
    %x = input x : f32[2]
    %z = input z : f32[2]
    %a = add(%x, %z) @ a
    %b = add(%a, %x) @ b
    result y = %b)",
              with({{"sums", {"add", "add"}}}), R"(
    %x = input x : f32[2]
    %z = input z : f32[2]
    %b = fusion(%x, %z) {kind="sums"} @ b body sums {
      %x = input x : f32[2]
      %z = input x_2 : f32[2]
      %a = add(%x, %z) @ a
      %b = add(%a, %x) @ b
      result y = %b
    }
    result y = %b)");
}

TEST_CASE("fuse: a link that somebody else reads, or that is a result, keeps its nodes apart") {
  const Target pair = with({{"pair", {"relu", "scale"}}});
  check_unfused(R"(
    %x = input x : f32[2]
    %a = relu(%x) @ a
    %b = scale(%a) {factor=2} @ b
    %c = add(%a, %b) @ c
    result y = %c)",
                pair);
  check_unfused(R"(
    %x = input x : f32[2]
    %a = relu(%x) @ a
    %b = scale(%a) {factor=2} @ b
    result a = %a
    result y = %b)",
                pair);
  check_unfused(R"(
    %x = input x : f32[2]
    %a = relu(%x) @ a
    %b = add(%a, %a) @ b
    result y = %b)",
                with({{"pair", {"relu", "add"}}}));
}

TEST_CASE("fuse: a link that several members read stays inside where the pattern lets them") {
  constexpr std::string_view chain = R"(
    %x = input x : f32[2]
    %a = relu(%x) @ a
    %b = scale(%a) {factor=2} @ b
    %c = add(%a, %b) @ c
    result y = %c)";
  const std::vector<std::string> ops{"relu", "scale", "add"};
  const Target sum = with({{.name = "sum", .ops = ops, .links = {Link::members, Link::next}}});
  check_fused(chain, sum, R"(
    %x = input x : f32[2]
    %c = fusion(%x) {kind="sum"} @ c body sum {
      %x = input x : f32[2]
      %a = relu(%x) @ a
      %b = scale(%a) {factor=2} @ b
      %c = add(%a, %b) @ c
      result y = %c
    }
    result y = %c)");
  CHECK(find_chains(parse(chain), sum).at(0).inner.size() == 2);
  check_unfused(chain, with({{.name = "sum", .ops = ops}}));
  check_unfused(std::string(chain) + "\n    result a = %a", sum);
  check_unfused(std::string(chain) + "\n    %d = relu(%a) @ d\n    result d = %d", sum);
}

TEST_CASE("fuse: a link that is kept or read outside is an output where the pattern lets it") {
  const Target pair = with({{.name = "pair", .ops = {"relu", "scale"}, .links = {Link::anyone}}});
  constexpr std::string_view chain = R"(
    %x = input x : f32[2]
    %s = state s : f32[2] constant(0)
    %a = relu(%x) @ a
    %b = scale(%a) {factor=2} @ b
    %c = add(%a, %b) @ c
    result y = %c
    update s = %a)";
  check_fused(chain, pair, R"(
    %x = input x : f32[2]
    %s = state s : f32[2] constant(0)
    %a, %b = fusion(%x) {kind="pair"} @ b body pair {
      %x = input x : f32[2]
      %a = relu(%x) @ a
      %b = scale(%a) {factor=2} @ b
      result y = %a
      result y_2 = %b
    }
    %c = add(%a, %b) @ c
    result y = %c
    update s = %a)");
  CHECK(find_chains(parse(chain), pair).at(0).inner.empty());
  // The chain would run after the first reader of its link.
  check_unfused(R"(
    %x = input x : f32[2]
    %a = relu(%x) @ a
    %early = relu_backward(%a, %x) @ early
    %late = scale(%early) {factor=2} @ late
    %b = add(%a, %late) @ b
    result y = %b)",
                with({{.name = "around", .ops = {"relu", "add"}, .links = {Link::anyone}}}));
}

namespace {
/// The update of a parameter with its average and, where `choice` is a line, what the parameter
/// then takes.
std::string averaged_update(std::string_view choice, std::string_view value) {
  return fmt::format(R"(
    %p = state p : f32[2] constant(0) trainable
    %m = state p/momentum : f32[2] constant(0)
    %average = state p/average : f32[2] constant(0)
    %g = input g : f32[2]
    %lr = input lr : f32[]
    %decay = input decay : f32[]
    %when = input when : f32[]
    %last = input last : f32[]
    %p1, %m1 = sgd_update(%p, %g, %lr, %m) {{momentum=0.9}} @ update
    %average1 = average_update(%average, %p1, %decay, %when) @ average
    {}
    update p = {}
    update p/momentum = %m1
    update p/average = %average1)",
                     choice, value);
}
}  // namespace

TEST_CASE("fuse: an update with its average is one node that writes all into their states") {
  const auto summary = [](const std::string& text) {
    const Graph fused = fuse(parse(text), target("libtorch"));
    verify(fused);
    const MemoryPlan plan = plan_memory(fused, target("libtorch"));
    verify_plan(fused, plan);
    std::string out;
    for (const Node& node : fused.nodes()) {
      out += display_name(node);
      for (const InPlace& pair : in_place_pairs(node))
        out += fmt::format(" {}->{}", pair.input, pair.output);
      out += "; ";
    }
    return out + fmt::format("{} copies, {} bytes", plan.copies.size(), plan.arena_bytes);
  };
  const std::string ema = averaged_update("", "%p1");
  CHECK(summary(ema) == "sgd_update_average 0->0 3->1 4->2; 0 copies, 0 bytes");
  const std::string lookahead = averaged_update("%y = choose(%p1, %average1, %last) @ y", "%y");
  CHECK(summary(lookahead) == "sgd_update_lookahead 0->2 3->0 4->1; 0 copies, 0 bytes");
  // Two averages: the second takes what the first has left.
  const std::string both = averaged_update(R"(
    %slow = state p/slow : f32[2] constant(0)
    %slow1 = average_update(%slow, %p1, %decay, %when) @ slow
    %y = choose(%p1, %slow1, %last) @ y
    update p/slow = %slow1)",
                                           "%y");
  CHECK(summary(both) == "sgd_update_average 0->0 3->1 4->2; lookahead 0->0; 0 copies, 8 bytes");
}

TEST_CASE("fuse: dead nodes stay apart, as a fusion must have a result") {
  check_unfused(R"(
    %x = input x : f32[2]
    %a = relu(%x) @ a
    %b = scale(%a) {factor=2} @ b
    result x = %x)",
                with({{"pair", {"relu", "scale"}}}));
}

TEST_CASE("fuse: a chain runs after its last input and before its first reader") {
  const Target target = with({{"last", {"relu", "add"}}, {"norm_relu", {"batch_norm", "relu"}}});
  check_fused(R"(
    %x = input x : f32[2]
    %a = relu(%x) @ a
    %late = scale(%x) {factor=2} @ late
    %b = add(%a, %late) @ b
    result y = %b)",
              target, R"(
    %x = input x : f32[2]
    %late = scale(%x) {factor=2} @ late
    %b = fusion(%x, %late) {kind="last"} @ b body last {
      %x = input x : f32[2]
      %late = input x_2 : f32[2]
      %a = relu(%x) @ a
      %b = add(%a, %late) @ b
      result y = %b
    }
    result y = %b)");
  check_fused(R"(
    %x = input x : f32[4,2]
    %s = input s : f32[2]
    %y, %mean, %i, %m, %v = batch_norm(%x, %s, %s, %s, %s) @ norm
    %early = scale(%mean) {factor=2} @ early
    %r = relu(%y) @ relu
    result r = %r
    result early = %early)",
              target, R"(
    %x = input x : f32[4,2]
    %s = input s : f32[2]
    %mean, %r = fusion(%x, %s) {kind="norm_relu"} @ relu body norm_relu {
      %x = input x : f32[4,2]
      %s = input scale : f32[2]
      %y, %mean, %i, %m, %v = batch_norm(%x, %s, %s, %s, %s) @ norm
      %r = relu(%y) @ relu
      result mean = %mean
      result y = %r
    }
    %early = scale(%mean) {factor=2} @ early
    result r = %r
    result early = %early)");
}

TEST_CASE("fuse: a chain that would read what depends on itself stays apart") {
  check_unfused(R"(
    %x = input x : f32[4,2]
    %s = input s : f32[2]
    %y, %mean, %i, %m, %v = batch_norm(%x, %s, %s, %s, %s) @ norm
    %around = relu(%mean) @ around
    %z = batch_norm_inference(%y, %s, %s, %around, %s) @ again
    result z = %z)",
                with({{"norms", {"batch_norm", "batch_norm_inference"}}}));
}

TEST_CASE("fuse: of two chains that would need each other only the first is one node") {
  check_fused(R"(
    %x = input x : f32[4,2]
    %s = input s : f32[2]
    %t = input t : f32[2]
    %y1, %mean1, %i1, %m1, %v1 = batch_norm(%x, %s, %s, %s, %s) @ norm1
    %y2, %mean2, %i2, %m2, %v2 = batch_norm(%x, %t, %t, %t, %t) @ norm2
    %z1 = batch_norm_inference(%y1, %s, %s, %mean2, %s) @ again1
    %z2 = batch_norm_inference(%y2, %s, %s, %mean1, %s) @ again2
    result z1 = %z1
    result z2 = %z2)",
              with({{"norms", {"batch_norm", "batch_norm_inference"}}}), R"(
    %x = input x : f32[4,2]
    %s = input s : f32[2]
    %t = input t : f32[2]
    %y2, %mean2, %i2, %m2, %v2 = batch_norm(%x, %t, %t, %t, %t) @ norm2
    %mean1, %z1 = fusion(%x, %s, %mean2) {kind="norms"} @ again1 body norms {
      %x = input x : f32[4,2]
      %s = input scale : f32[2]
      %mean2 = input running_mean : f32[2]
      %y1, %mean1, %i1, %m1, %v1 = batch_norm(%x, %s, %s, %s, %s) @ norm1
      %z1 = batch_norm_inference(%y1, %s, %s, %mean2, %s) @ again1
      result mean = %mean1
      result y = %z1
    }
    %z2 = batch_norm_inference(%y2, %s, %s, %mean1, %s) @ again2
    result z1 = %z1
    result z2 = %z2)");
}

TEST_CASE(
    "fuse: in place where the body is so, each value over the one before by its last reader") {
  const auto pairs = [](std::string_view body, const Target& goal = target("onednn")) {
    const Graph fused = fuse(parse(body), goal);
    REQUIRE(fused.nodes().size() == 1);
    std::string text;
    for (const InPlace& pair : in_place_pairs(fused.nodes()[0])) {
      text += fmt::format("{}->{} ", pair.input, pair.output);
    }
    return text;
  };
  CHECK(pairs(R"(
    %x = input x : f32[4,2]
    %s = input s : f32[2]
    %y = batch_norm_apply(%x, %s, %s, %s, %s) @ a
    %r = relu(%y) @ b
    result r = %r)") == "0->0 ");
  CHECK(pairs(R"(
    %dy = input dy : f32[4,2]
    %y = input y : f32[4,2]
    %s = input s : f32[2]
    %a = relu_backward(%dy, %y) @ a
    %dx, %ds, %db = batch_norm_backward(%a, %y, %s, %s, %s) @ b
    result ds = %ds
    result dx = %dx)") == "0->0 ");
  CHECK(pairs(R"(
    %dy = input dy : f32[4,2]
    %s = input s : f32[2]
    %a = relu_backward(%dy, %dy) @ a
    %dx, %ds, %db = batch_norm_backward(%a, %dy, %s, %s, %s) @ b
    result dx = %dx)") == "");
  const Target sum = with(
      {{.name = "sum", .ops = {"relu", "relu", "add"}, .links = {Link::anyone, Link::anyone}}});
  constexpr std::string_view over_first = R"(
    %x = input x : f32[2]
    %a = relu(%x) @ a
    %b = relu(%a) @ b
    %c = add(%a, %b) @ c
    result y = %c)";
  CHECK(pairs(over_first, sum) == "0->0 ");
  // What is handed out is not written over; nor is what is read again later.
  CHECK(pairs(std::string(over_first) + "\n    result a = %a", sum) == "0->0 ");
  constexpr std::string_view over_second = R"(
    %x = input x : f32[2]
    %a = relu(%x) @ a
    %b = relu(%a) @ b
    %c = add(%b, %a) @ c
    result y = %c)";
  CHECK(pairs(over_second, sum) == "");
}

namespace {
/// A target that drops what lowers the peak and runs batch_norm with relu as one, their gradients
/// without making the norm again.
Target dropping() {
  Target keeps = target("libtorch");
  keeps.recompute = true;
  return keeps;
}

/// Most of a graph's work, in few bytes: beside it, what is made again costs little.
constexpr std::string_view kWork = R"(
    %i = input i : f32[8,4096]
    %k = input k : f32[1,4096]
    %h = linear(%i, %k) {bias=false, features=1} @ h
    result h = %h)";

/// relu(batch_norm) read at once and at the end, with `between` while most bytes are alive.
std::string kept_activation(std::string_view between) {
  return fmt::format(R"(
    %x = input x : f32[8,2]
    %s = input s : f32[2]{}
    %c = concat(%x) {{axis=1}} @ conv
    %y, %mean, %inverse, %m, %v = batch_norm(%c, %s, %s, %s, %s) @ norm
    %r = relu(%y) @ relu
    {}
    %dr = relu_backward(%q, %r) @ relu/backward
    %dx, %ds, %db = batch_norm_backward(%dr, %c, %s, %mean, %inverse) @ norm/backward
    result dx = %dx)",
                     kWork, between);
}
}  // namespace

TEST_CASE("recompute: what is large at the peak is made again before its later reader") {
  const auto pass = [](const Graph& graph) { return recompute(graph, dropping()); };
  constexpr std::string_view peak = R"(
    %p = concat(%r, %x, %x, %x) {axis=0} @ p
    %t = relu(%p) @ t
    %q = slice(%t) {axis=0, start=0, length=8} @ q)";
  const std::string after = fmt::format(R"(
    {}
    %y2 = batch_norm_apply(%c, %s, %s, %mean, %inverse) @ norm/recompute
    %r2 = relu(%y2) @ relu/recompute)",
                                        peak);
  std::string expected = kept_activation(after);
  expected.replace(expected.find("(%q, %r)"), 8, "(%q, %r2)");
  CHECK(run(kept_activation(peak), pass) == graph_of(expected));
  CHECK(run(expected, pass) == graph_of(expected));
}

TEST_CASE("recompute: what others need on the way is made once") {
  Target plain = with({});
  plain.recompute = true;
  const auto pass = [&](const Graph& graph) { return recompute(graph, plain); };
  const auto body = [](std::string_view again, std::string_view a, std::string_view sum) {
    return fmt::format(R"(
    %x = input x : f32[8,2]{}
    %a = scale(%x) {{factor=2}} @ a
    %sum = add(%a, %x) @ sum
    %p = concat(%sum, %x, %x, %x) {{axis=0}} @ p
    %t = relu(%p) @ t
    %q = slice(%t) {{axis=0, start=0, length=8}} @ q
{}
    %r = relu_backward(%q, {}) @ r
    %v = relu_backward(%r, {}) @ v
    result v = %v)",
                       kWork, again, sum, a);
  };
  constexpr std::string_view again = R"(
    %a2 = scale(%x) {factor=2} @ a/recompute
    %sum2 = add(%a2, %x) @ sum/recompute)";
  CHECK(run(body("", "%a", "%sum"), pass) == graph_of(body(again, "%a2", "%sum2")));
}

TEST_CASE(
    "recompute: gradients of activations get a batch_norm of their own where the target runs all "
    "as one") {
  const auto body = [&](std::string_view activation, std::string_view again, std::string_view of) {
    return fmt::format(R"(
    %x = input x : f32[8,2]
    %s = input s : f32[2]
    %y, %mean, %inverse, %m, %v = batch_norm(%x, %s, %s, %s, %s) @ norm
    %g = {0}(%y) @ act
    %p = scale(%g) {{factor=3}} @ p{1}
    %dg = {0}_backward(%p, {2}) @ act/backward
    %dx, %ds, %db = batch_norm_backward(%dg, %x, %s, %mean, %inverse) @ norm/backward
    result dx = %dx)",
                       activation, again, of);
  };
  constexpr std::string_view again = R"(
    %y2 = batch_norm_apply(%x, %s, %s, %mean, %inverse) @ norm/recompute)";
  const auto on = [](std::string_view backend) {
    return [backend](const Graph& graph) { return recompute(graph, target(backend)); };
  };
  const std::string gelu = body("gelu", "", "%y"), relu = body("relu", "", "%g");
  CHECK(run(gelu, on("onednn")) == graph_of(body("gelu", again, "%y2")));
  CHECK(run(relu, on("onednn")) == graph_of(body("relu", again, "%y2")));
  for (const std::string& kept : {gelu, relu}) {
    CHECK(run(kept, on("reference")) == graph_of(kept));
  }
  std::string elsewhere = relu;
  elsewhere += "\n    result dg = %dg";
  CHECK(run(elsewhere, on("onednn")) == graph_of(elsewhere));
}

TEST_CASE("recompute: nothing is made again where that would not lower the peak") {
  const auto pass = [](const Graph& graph) { return recompute(graph, dropping()); };
  const std::string body = kept_activation("%q = scale(%r) {factor=3} @ q");
  CHECK(run(body, pass) == graph_of(body));
}

TEST_CASE("target: a name that there is not is a usage error with the nearest one") {
  CHECK(message_of([] { target("onedn"); }) ==
        "error: there is no backend 'onedn'\nnote: did you mean 'onednn'?\n");
  CHECK(message_of([] { target("quantum"); }) ==
        "error: there is no backend 'quantum'\nnote: backends are onednn, libtorch, reference\n");
}
