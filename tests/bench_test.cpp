// bench: the profile of a step and what is written of it, repeats that change nothing, and planned
// memory beside measured memory.
#include "core/bench.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/bench_text.h"
#include "core/bench/profile_files.h"
#include "core/bench/samples.h"
#include "core/support/process.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_pipeline.h"
#include "viz/roofline.h"

using namespace expgraph;
using nlohmann::json;

namespace {

/// The tiny pipeline, benched once for all cases.
const BenchResult& tiny_result() {
  static const BenchResult result =
      bench(tiny_spec(), load_backend("onednn"), {.steps = 8, .threads = 1, .limits = true});
  return result;
}

double seconds_of_nodes(const BenchResult& result) {
  double sum = 0;
  for (const TimedNode& node : result.nodes) sum += node.seconds;
  return sum;
}

size_t count_of(const std::string& text, const std::string& what) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; ++at) ++count;
  return count;
}

/// States of the training side after three steps, by name.
std::map<std::string, std::vector<std::byte>> states_after(const CompileOptions& options) {
  const Backend& backend = load_backend("onednn");
  const CompiledPipeline compiled = compile_pipeline(tiny_spec());
  SideRun side({.full = compiled.train,
                .data = generate_samples(compiled.train.graphs.data),
                .backend = backend,
                .options = options,
                .side = "train"});
  const auto store = backend.make_store();
  side.batches.prepare(1);
  side.create_states(*store);
  side.begin(0, {}, 2);
  for (int k = 0; k < 2; ++k) side.step(*store);
  std::map<std::string, std::vector<std::byte>> states;
  for (const std::string& name : store->names()) {
    const TensorType type = store->type(name);
    std::vector<std::byte>& bytes = states[name];
    bytes.resize(static_cast<size_t>(type.bytes()));
    store->read(name, {type, bytes.data()});
  }
  return states;
}

}  // namespace

TEST_CASE("the trace is JSON whose nodes follow one another within the step") {
  const BenchResult& result = tiny_result();
  const json trace = json::parse(trace_json(result));
  double sum = 0, end = 0, step = 0;
  size_t nodes = 0;
  for (const json& event : trace.at("traceEvents")) {
    if (event.at("ph") != "X") continue;
    const double start = event.at("ts"), duration = event.at("dur");
    if (event.at("name") == "step") {
      step = duration;
      continue;
    }
    const TimedNode& node = result.nodes.at(nodes++);
    const json& args = event.at("args");
    CHECK(event.at("name") == node.name);
    CHECK(args.at("path") == node.path);
    CHECK(args.at("outputs") == node.shape);
    CHECK(args.at("flops") == node.cost.flops);
    CHECK(args.at("bytes") == node.cost.bytes);
    CHECK(args.at("gflops").get<double>() * duration * 1e3 == doctest::Approx(node.cost.flops));
    CHECK(start >= end);
    end = start + duration;
    sum += duration;
  }
  CHECK(nodes == result.nodes.size());
  CHECK(nodes > 20);
  CHECK(end <= step);
  CHECK(sum > 0.2 * step);
}

TEST_CASE("the roofline has a mark for each node that computes, none of them elsewhere") {
  const BenchResult& result = tiny_result();
  const std::string svg = roofline_svg(result, "a <net>");
  const auto computes = [](const TimedNode& node) { return node.cost.flops > 0; };
  const auto marks = static_cast<size_t>(std::ranges::count_if(result.nodes, computes));
  CHECK(marks > 15);
  CHECK(count_of(svg, "<circle class=\"node\"") == marks);
  CHECK(result.operators.size() > 9);
  CHECK(count_of(svg, "<circle class=\"legend\"") == 9);
  CHECK(count_of(svg, fmt::format("{} other operators", result.operators.size() - 8)) == 1);
  CHECK(svg.find("<title>a &lt;net&gt;</title>") != std::string::npos);
  CHECK(svg.find("nan") == std::string::npos);
  CHECK(svg.find("inf") == std::string::npos);
}

TEST_CASE("the profile: nodes slowest first, shares that add up, the peaks that were measured") {
  const BenchResult& result = tiny_result();
  const json profile = json::parse(profile_json(result, "a machine"));
  CHECK(profile.at("machine") == "a machine");
  double share = 0, before = 1e9;
  for (const json& node : profile.at("nodes")) {
    CHECK(node.at("ms").get<double>() <= before);
    before = node.at("ms");
    share += node.at("share").get<double>();
    CHECK(node.at("best_ms_repeated").get<double>() > 0);
  }
  CHECK(share == doctest::Approx(1));
  CHECK(profile.at("nodes").size() == result.nodes.size());
  CHECK(profile.at("peaks").at("gflops").get<double>() > 1);
  CHECK(profile.at("peaks").at("gbytes_per_s").get<double>() > 1);
  const std::string table = nodes_text(result);
  CHECK(count_of(table, "\n") == result.nodes.size() + 1);
  CHECK(count_of(table, "train/net/conv1 ") == 1);
}

TEST_CASE("shares of the step: products and the rest make a whole") {
  const BenchResult& result = tiny_result();
  double products = 0, work = 0, best = 0;
  for (const TimedNode& node : result.nodes) {
    const bool named = node.name.starts_with("conv2d") || node.name.starts_with("linear");
    CHECK(named == node.is_product());
    if (!named) continue;
    products += node.seconds;
    best += node.alone_s;
    work += double(node.cost.flops);
  }
  CHECK(result.outside_products() == doctest::Approx(1 - products / result.profiled_s));
  CHECK(seconds_of_nodes(result) < result.profiled_s);
  CHECK(result.alone_gflops() == doctest::Approx(work / best * 1e-9));
  CHECK(result.peaks.seconds(result.peaks.gflops * 1e9, 0) == doctest::Approx(1));
  CHECK(result.peaks.seconds(1, result.peaks.gbytes * 2e9) == doctest::Approx(2));
}

TEST_CASE("a step of which nodes are repeated leaves the same states, to the bit") {
  const auto once = states_after({.threads = 2});
  const auto repeated = states_after({.threads = 2, .profile = true, .repeats = 4});
  CHECK(once.size() > 10);
  CHECK(once == repeated);
}

TEST_CASE("the process knows its age and its memory") {
  const double age = seconds_since_start();
  CHECK(age >= 0);
  CHECK(age < 3600);
  const int64_t before = own_bytes();
  const std::vector<char> much(64 << 20, 1);
  CHECK(own_bytes() - before > 60 << 20);
  CHECK(mapped_bytes() > 1 << 20);
  CHECK(peak_resident_bytes() >= before + (60 << 20));
  CHECK(much.back() == 1);
}

// Large maps and little work. In a process of its own: what other cases have had is no part of it.
TEST_CASE("planned memory is what the process has at most, within 5 %") {
  const TemporaryFolder folder;
  std::ofstream(folder.path / "wide.yaml") << R"(pipeline: wide
train:
  epochs: 1
  nodes:
    data: {op: dataset, name: shapes10, split: train, count: 4096}
    normalise: {op: normalise, mean: [125, 123, 114], std: [63, 62, 67]}
    cache: cache
    flip: random_flip
    batch: {op: batch, size: 256, shuffle: true}
    net:
      nodes:
        conv1: {op: conv2d, channels: 64, kernel: 1}
        bn1: batch_norm
        relu1: relu
        conv2: {op: conv2d, channels: 64, kernel: 1}
        bn2: batch_norm
        relu2: relu
        pool: {op: max_pool, size: 4}
        flatten: flatten
        linear: {op: linear, features: 10}
    loss: {op: cross_entropy, label: batch/label}
    lr: {op: piecewise_linear, epochs: [0, 1], values: [0.1, 0]}
    update: {op: sgd, loss: loss, lr: lr}
)";
  const std::string output = (folder.path / "result.json").string();
  const int code = std::system(
      fmt::format("'{}/bin/expgraph' bench '{}/wide.yaml' --steps 2 --json > '{}' 2> /dev/null",
                  EXPGRAPH_BINARY_DIR, folder.path.string(), output)
          .c_str());
  REQUIRE(WEXITSTATUS(code) == 0);
  std::ifstream stream(output);
  const json result = json::parse(stream);
  const double measured = result.at("peak_rss_bytes"), planned = result.at("planned_bytes");
  CHECK(measured > 150e6);
  CHECK(planned / measured == doctest::Approx(1).epsilon(0.05));
  CHECK(result.at("first_step_done_s").get<double>() > result.at("first_step_s").get<double>());
}
