// memory_budget_test: sizes are read exactly; a step with a budget takes no more, and trains to the
// same bits; one that cannot keep to it says what it takes.
#include <doctest/doctest.h>

#include <algorithm>
#include <ctime>
#include <set>

#include "core/passes/passes.h"
#include "core/passes/plan_memory.h"
#include "core/program_cache.h"
#include "core/support/size.h"
#include "tests/graph_case.h"
#include "tests/support/attribute.h"
#include "tests/support/tiny_pipeline.h"
#include "tests/support/training.h"

using namespace expgraph;
using namespace expgraph::test;

namespace {

int64_t bytes_of(std::string_view text) { return parse_size(text, "'memory'", {}); }

std::string refused(std::string_view text) {
  return message_of([&] { bytes_of(text); });
}

/// A pipeline of the tree, narrow unless it says otherwise, with `memory` where that is not "".
FlatSpec spec_of(const std::string& pipeline, const std::string& memory,
                 const std::string& width = "8", const std::string& batch = "8") {
  Parameters parameters{attribute("width", width), attribute("batch", batch),
                        attribute("test_batch", "4")};
  const std::string file = EXPGRAPH_SOURCE_DIR "/graphs/pipelines/" + pipeline + ".yaml";
  FlatSpec spec = expand_file(file, parameters, op_names());
  if (!memory.empty()) set_of_train(spec, "memory", memory);
  return spec;
}

CompiledPipeline compile(const FlatSpec& spec, const std::string& backend,
                         ProgramCache* cache = nullptr) {
  CompilePipelineOptions options{.backend = backend, .cache = cache};
  options.build.dataset = [](const std::string& name, const std::string& split, const Location&,
                             const Attributes&) {
    return DatasetInfo{
        .name = name, .split = split, .count = 4096, .height = 32, .width = 32, .classes = 10};
  };
  return compile_pipeline(spec, options);
}

/// The tightest budget of a pipeline: what the error of a smaller one names.
std::string least_of(const std::string& pipeline, const std::string& backend) {
  const std::string message = message_of([&] { compile(spec_of(pipeline, "1500kB"), backend); });
  const std::string before = "a training step takes at least ";
  const size_t at = message.find(before);
  REQUIRE_MESSAGE(at != std::string::npos, message);
  return message.substr(at + before.size(), message.find(',', at) - at - before.size());
}

Outcome train(const CompiledPipeline& compiled, const std::string& backend) {
  RandomTraining training(load_backend(backend));
  training.run(compiled.train.step.graph, compiled.train.step.plan, 3, "step ");
  training.run(compiled.test->step.graph, compiled.test->step.plan, 1, "evaluation ");
  return training.outcome();
}

/// recompute with so many bytes for the whole step; `report` may be null.
std::function<Graph(const Graph&)> within(int64_t bytes, const Target& goal,
                                          BudgetReport* report = nullptr) {
  return [=](const Graph& graph) {
    BudgetReport own;
    return recompute(graph, goal, {.bytes = bytes, .text = "so much"},
                     report != nullptr ? *report : own);
  };
}

int64_t planned(std::string_view lines, const Target& goal) {
  return plan_memory(parse(lines), goal).peak_bytes();
}

/// %c (128 bytes) costs a convolution of 64 channels, waits for its gradient while %p and %t take
/// most bytes, and nobody reads %b after it.
std::string waiting(std::string_view again, std::string_view c) {
  return fmt::format(R"(
    %x = input x : f32[1,64,2,2]
    %w = input w : f32[8,64,3,3]
    %b = scale(%x) {{factor=2}} @ b
    %c = conv2d(%b, %w, _) {{channels=8, kernel=[3], padding=[1]}} @ c
    %p = concat(%c, %c, %c, %c, %c, %c, %c, %c) {{axis=1}} @ p
    %t = concat(%p, %p) {{axis=1}} @ t
    %q = slice(%t) {{axis=1, start=0, length=8}} @ q
{}
    %d = relu_backward(%q, {}) @ d
    result d = %d)",
                     again, c);
}

constexpr std::string_view kAgain = R"(
    %b2 = scale(%x) {factor=2} @ b/recompute
    %c2 = conv2d(%b2, %w, _) {channels=8, kernel=[3], padding=[1]} @ c/recompute)";

const Target& plain() { return target("reference"); }

}  // namespace

TEST_CASE("sizes: a number and a unit") {
  CHECK(bytes_of("1.2GB") == 1'200'000'000);
  CHECK(bytes_of("900MiB") == 900 * 1024 * 1024);
  CHECK(bytes_of("512MB") == 512'000'000);
  CHECK(bytes_of("0.5 KiB") == 512);
  CHECK(bytes_of("2TB") == 2'000'000'000'000);
  CHECK(bytes_of("1TiB") == int64_t{1} << 40);
  CHECK(bytes_of("1GiB") == int64_t{1} << 30);
  CHECK(bytes_of("3kB") == 3000);
  CHECK(bytes_of("1.9B") == 1);
  CHECK(bytes_of("1000TB") == 1'000'000'000'000'000);
}

TEST_CASE("sizes: what is none is refused, with the nearest unit") {
  CHECK(refused("lots") ==
        "error: 'memory' is a number and a unit, as 1.2GB or 900MiB, got 'lots'\n");
  for (const char* text : {"", "GB", "inf", "nanGB", "+1GB", " 1GB"}) {
    CHECK(refused(text).starts_with("error: 'memory' is a number and a unit"));
  }
  CHECK(refused("1200") ==
        "error: 'memory' has no unit, got '1200'\n"
        "note: units are kB, MB, GB, TB, KiB, MiB, GiB, TiB, B\n");
  CHECK(refused("1.2Gb") ==
        "error: 'memory' has the unit 'Gb', which is none\nnote: did you mean 'GB'?\n");
  CHECK(refused("1gib") ==
        "error: 'memory' has the unit 'gib', which is none\nnote: did you mean 'GiB'?\n");
  CHECK(refused("1MiBs") ==
        "error: 'memory' has the unit 'MiBs', which is none\nnote: did you mean 'MiB'?\n");
  CHECK(refused("1e3MB") ==
        "error: 'memory' has the unit 'e3MB', which is none\n"
        "note: units are kB, MB, GB, TB, KiB, MiB, GiB, TiB, B\n");
  for (const char* text : {"0GB", "-1GB", "0.2B", "-0MiB"}) {
    CHECK(refused(text) == fmt::format("error: 'memory' is above 0, got '{}'\n", text));
  }
  for (const char* text : {"1001TB", "1000TiB", "99999999999999999999GB"}) {
    CHECK(refused(text) == fmt::format("error: 'memory' is at most 1000TB, got '{}'\n", text));
  }
}

TEST_CASE("sizes: written so that they are read back, and never below") {
  CHECK(size_text(1) == "1KiB");
  CHECK(size_text(10 * 1024 * 1024 - 1) == "10240KiB");
  CHECK(size_text(612 * 1024 * 1024) == "612MiB");
  CHECK(size_text(612 * 1024 * 1024 + 1) == "613MiB");
  CHECK(bytes_of(size_text(852'700'232)) >= 852'700'232);
}

TEST_CASE("budget: what is dear is made again from what there is, deep where that is gone") {
  const std::string kept = waiting("", "%c"), again = waiting(kAgain, "%c2");
  const int64_t usual = planned(kept, plain()), least = planned(again, plain());
  CHECK(usual - least == 128);
  CHECK(run(kept, within(usual, plain())) == graph_of(kept));
  BudgetReport report;
  CHECK(run(kept, within(usual - 1, plain(), &report)) == graph_of(again));
  CHECK(report.bytes == usual - 1);
  CHECK(report.bytes_without == usual);
  CHECK(report.values == 1);
  CHECK(report.work > 0.9);
  CHECK(report.work < 1);
  CHECK(run(kept, within(least, plain())) == graph_of(again));
}

TEST_CASE("budget: a step that cannot keep to it says what it takes at least") {
  const std::string kept = waiting("", "%c");
  const int64_t least = planned(waiting(kAgain, "%c2"), plain());
  CHECK(message_of([&] { run(kept, within(least - 1, plain())); }) ==
        fmt::format("error: a training step takes at least {}, 'memory' is so much\n"
                    "note: all is made again that lowers it; a smaller batch takes less\n",
                    size_text(least)));
  CHECK(message_of([&] { run(kept, within(1024, plain())); }) ==
        "error: states and inputs of a training step alone take 19KiB, 'memory' is so much\n"
        "note: fewer parameters, a smaller batch, or an optimiser with fewer states take less\n");
}

TEST_CASE("budget: nothing is dropped where no value waits") {
  const std::string_view chain = R"(
    %x = input x : f32[4,64]
    %w = input w : f32[64,64]
    %y = linear(%x, %w, _) {features=64, bias=false} @ y
    %z = linear(%y, %w, _) {features=64, bias=false} @ z
    result z = %z)";
  const int64_t bytes = planned(chain, plain());
  CHECK(run(chain, within(bytes, plain())) == graph_of(chain));
  CHECK(message_of([&] {
          run(chain, within(bytes - 1, plain()));
        }).starts_with("error: a training step takes at least 19KiB, 'memory' is so much\n"));
}

TEST_CASE("budget: random choices are read again, not drawn again") {
  const auto lines = [](std::string_view again, std::string_view x) {
    return fmt::format(R"(
    %images = input images : f32[4,2,4,4]
    %label = input label : i32[4]
    %choice = choice mix : i32[4,1] bounds [65537]
    %x, %other, %weight = mixup(%images, %label, %choice) @ mix
    %p = concat(%x, %x, %x, %x, %x, %x, %x, %x) {{axis=1}} @ p
    %t = concat(%p, %p) {{axis=1}} @ t
    %q = slice(%t) {{axis=1, start=0, length=2}} @ q
{}
    %d = relu_backward(%q, {}) @ d
    result d = %d)",
                       again, x);
  };
  const std::string again =
      lines("%x2, %other2, %weight2 = mixup(%images, %label, %choice) @ mix/recompute", "%x2");
  const std::string kept = lines("", "%x");
  CHECK(run(kept, within(planned(kept, plain()) - 1, plain())) == graph_of(again));
}

TEST_CASE("budget: a value that becomes a state is neither dropped nor made twice") {
  const std::string_view step = R"(
    %x = input x : f32[4,64]
    %w = state w : f32[64,64] constant(1) trainable
    %y = linear(%x, %w, _) {features=64, bias=false} @ y
    %g = linear_backward_weights(%y, %x) @ g
    %s = scale(%g) {factor=0.5} @ s
    %t = relu(%s) @ t
    %u = concat(%t, %t, %t, %t) {axis=0} @ u
    %v = relu(%u) @ v
    %z = relu_backward(%t, %s) @ z
    result v = %v
    result z = %z
    update w = %s)";
  const int64_t bytes = planned(step, plain());
  const std::string message = message_of([&] { run(step, within(bytes - 1, plain())); });
  CHECK(message.starts_with("error: a training step takes at least"));
}

TEST_CASE("a budget that the step keeps to anyway changes nothing") {
  for (const char* backend : {"onednn", "reference", "libtorch"}) {
    const CompiledPipeline without = compile(spec_of("davidnet", ""), backend);
    const CompiledPipeline with = compile(spec_of("davidnet", "1GB"), backend);
    CHECK(to_text(without.train.step.graph) == to_text(with.train.step.graph));
    CHECK(!without.train.step.budget.has_value());
    REQUIRE(with.train.step.budget.has_value());
    CHECK(with.train.step.budget->values == 0);
    CHECK(with.train.step.budget->work == 0);
    CHECK(with.train.step.budget->bytes_without == without.train.step.plan.peak_bytes());
  }
}

TEST_CASE("training within the tightest budget gives the bits of training without one") {
  for (const char* pipeline : {"davidnet", "dawnbench"}) {
    for (const char* backend : {"onednn", "reference"}) {
      const std::string least = least_of(pipeline, backend);
      const CompiledPipeline without = compile(spec_of(pipeline, ""), backend);
      const CompiledPipeline with = compile(spec_of(pipeline, least), backend);
      CAPTURE(pipeline);
      CAPTURE(backend);
      CHECK(with.peak_bytes <= bytes_of(least));
      CHECK(with.peak_bytes < 0.9 * double(without.peak_bytes));
      CHECK(with.train.step.budget->values > 0);
      CHECK(with.train.step.budget->work > 0);
      CHECK(first_difference(train(without, backend), train(with, backend), 0) == "");
    }
  }
}

TEST_CASE("convolutions of full width are made again with the same bits") {
  const CompiledPipeline without = compile(spec_of("davidnet", "", "64", "16"), "onednn");
  const CompiledPipeline with = compile(spec_of("davidnet", "80MiB", "64", "16"), "onednn");
  const auto is_again = [](const Node& node) {
    return node.op->name == "conv2d" && node.path.ends_with("/recompute") &&
           node.attributes.integer("channels") > 64;
  };
  CHECK(std::ranges::count_if(with.train.step.graph.nodes(), is_again) > 0);
  CHECK(first_difference(train(without, "onednn"), train(with, "onednn"), 0) == "");
}

TEST_CASE("budgets share a cache of programs and keep their own") {
  ProgramCache cache;
  const std::string least = least_of("davidnet", "onednn");
  const CompiledPipeline without = compile(spec_of("davidnet", ""), "onednn", &cache);
  const CompiledPipeline with = compile(spec_of("davidnet", least), "onednn", &cache);
  const CompiledPipeline again = compile(spec_of("davidnet", least), "onednn", &cache);
  CHECK(program_identity(without.train.step) != program_identity(with.train.step));
  CHECK(program_identity(again.train.step) == program_identity(with.train.step));
  CHECK(program_identity(without.test->step) == program_identity(with.test->step));
  REQUIRE(again.train.step.budget.has_value());
  CHECK(again.train.step.budget->values == with.train.step.budget->values);
}

TEST_CASE("the last, smaller batch keeps to the budget of the others") {
  FlatSpec spec = tiny_spec("batch: 16");
  set_of_train(spec, "memory", "10MB");
  for (const int64_t batch : {16, 8}) {
    const CompiledPipeline compiled =
        compile_pipeline(spec, {.backend = "reference", .build = {.train_batch = batch}});
    CHECK(compiled.train.step.plan.peak_bytes() <= 10'000'000);
  }
}

TEST_CASE("a budget of DavidNet at batch 512 is found in less than a second") {
  const std::clock_t start = std::clock();
  const CompiledPipeline compiled = compile(spec_of("davidnet", "650MiB", "64", "512"), "onednn");
  const double seconds = double(std::clock() - start) / CLOCKS_PER_SEC;
  MESSAGE("seconds: " << seconds);
  CHECK(compiled.peak_bytes <= int64_t{650} << 20);
  CHECK(compiled.train.step.budget->values > 0);
  CHECK(seconds < 1);
}
