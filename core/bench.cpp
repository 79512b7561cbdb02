// bench: a pipeline -> how long a step of its training takes on a backend, on generated samples,
// in how much memory, and which of its nodes take the time.
#include "core/bench.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "core/bench/samples.h"
#include "core/precision_of.h"
#include "core/support/process.h"

namespace expgraph {
namespace {

constexpr int64_t kBatches = 4;  // that are generated; steps go round them
constexpr int64_t kMostSamples = 1 << 20;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The data set's shape, with room for any batch.
DatasetInfo endless(const std::string& name, const std::string& split, const Location& where,
                    const Attributes& attributes) {
  DatasetInfo info = dataset_info(name, split, where, attributes);
  info.count = std::max(info.count, kMostSamples);
  return info;
}

/// What is trained on what: the same for each pass.
struct Setting {
  const CompiledPipeline& compiled;
  std::shared_ptr<const Dataset> data;
  const Backend& backend;
};

/// The training side of a compiled pipeline, going round its few batches.
class Training {
 public:
  Training(const Setting& setting, const CompileOptions& options)
      : store_(setting.backend.make_store()),
        side_({.full = setting.compiled.train,
               .data = setting.data,
               .backend = setting.backend,
               .options = options,
               .side = "train"}) {
    side_.batches.prepare(options.threads);
    side_.create_states(*store_);
  }

  /// Seconds of the next step. Starting a round is not part of it.
  double step() {
    if (done_ % kBatches == 0) side_.begin(done_ / kBatches, {}, kBatches);
    ++done_;
    const auto start = std::chrono::steady_clock::now();
    side_.step(*store_);
    side_.finish();
    return seconds_since(start);
  }

  std::vector<NodeTime> node_times() const { return side_.node_times(); }
  SideMemory memory() const { return side_.memory(); }

 private:
  std::unique_ptr<StateStore> store_;
  SideRun side_;
  int64_t done_ = 0;
};

double quantile(const std::vector<double>& sorted, double part) {
  const double at = part * double(sorted.size() - 1);
  const auto low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (at - double(low)) * (sorted[high] - sorted[low]);
}

void time_steps(const Setting& setting, const BenchOptions& options,
                std::chrono::steady_clock::time_point start, BenchResult& result) {
  Training training(setting, {.threads = options.threads});
  result.compile_s = seconds_since(start);
  result.first_step_s = training.step();
  result.first_done_s = seconds_since_start();
  for (int64_t k = 1; k < options.warm_up; ++k) training.step();
  std::vector<double> times;
  for (int64_t k = 0; k < options.steps; ++k) times.push_back(training.step());
  std::sort(times.begin(), times.end());
  result.median_s = quantile(times, 0.5);
  result.lower_s = quantile(times, 0.25);
  result.upper_s = quantile(times, 0.75);
  result.planned.side = training.memory();
  result.planned.code = mapped_bytes();
}

TimedNode describe(const Graph& graph, const Node& node) {
  std::vector<std::string> types;
  for (const ValueId output : node.outputs) types.push_back(graph.type(output).str());
  return {.name = display_name(node),
          .cost = cost_of(graph, node),
          .path = node.path,
          .shape = fmt::format("{}", fmt::join(types, ", "))};
}

void time_nodes(const Setting& setting, const BenchOptions& options, BenchResult& result) {
  const Graph& graph = setting.compiled.train.step.graph;
  Training training(setting, {.threads = options.threads, .profile = true});
  for (int64_t k = 0; k < options.warm_up; ++k) training.step();
  result.profiled_steps = std::clamp<int64_t>(options.steps / 4, 1, 10);
  const auto steps = double(result.profiled_steps);
  for (int64_t k = 0; k < result.profiled_steps; ++k) {
    result.last_profiled_s = training.step();
    result.profiled_s += result.last_profiled_s / steps;
    const std::vector<NodeTime> times = training.node_times();
    for (size_t at = 0; at < times.size(); ++at) {
      if (k == 0) result.nodes.push_back(describe(graph, graph.node(times[at].node)));
      result.nodes[at].seconds += times[at].seconds / steps;
      result.nodes[at].last = times[at];
    }
  }
}

void time_alone(const Setting& setting, const BenchOptions& options, BenchResult& result) {
  Training training(setting, {.threads = options.threads, .profile = true, .repeats = kRepeats});
  training.step();
  const std::vector<NodeTime> times = training.node_times();
  EXPGRAPH_CHECK(times.size() == result.nodes.size());
  for (size_t at = 0; at < times.size(); ++at) result.nodes[at].alone_s = times[at].seconds;
}

std::vector<OperatorTime> operator_times(const std::vector<TimedNode>& nodes) {
  std::map<std::string, OperatorTime> found;
  for (const TimedNode& node : nodes) {
    OperatorTime& entry = found[node.name];
    entry.name = node.name;
    ++entry.nodes;
    entry.seconds += node.seconds;
    entry.gflops += double(node.cost.flops) * 1e-9;  // of a step, until below
  }
  std::vector<OperatorTime> out;
  for (auto& [name, entry] : found) {
    entry.gflops = entry.seconds > 0 ? entry.gflops / entry.seconds : 0;
    out.push_back(std::move(entry));
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  return out;
}

}  // namespace

double BenchResult::outside_products() const {
  double products = 0;
  for (const TimedNode& node : nodes) products += node.is_product() ? node.seconds : 0;
  return 1 - products / profiled_s;
}

double BenchResult::alone_gflops() const {
  double work = 0, seconds = 0;
  for (const TimedNode& node : nodes) {
    if (!node.is_product()) continue;
    work += double(node.cost.flops);
    seconds += node.alone_s;
  }
  return seconds > 0 ? work / seconds * 1e-9 : 0;
}

BenchResult bench(FlatSpec spec, const Backend& backend, const BenchOptions& options) {
  if (options.batch > 0) set_batch(spec, options.batch);
  const int64_t batch = build_pipeline(spec, {.dataset = endless}).train.batch;
  const PlannedMemory planned{.before = own_bytes()};
  const auto start = std::chrono::steady_clock::now();
  CompilePipelineOptions compile{.backend = backend.name()};
  compile.build.dataset = [&](const std::string& name, const std::string& split,
                              const Location& where, const Attributes& attributes) {
    DatasetInfo info = dataset_info(name, split, where, attributes);
    if (split == "train") info.count = kBatches * batch;
    return info;
  };
  const CompiledPipeline compiled = compile_pipeline(spec, compile);
  const Setting setting{compiled, generate_samples(compiled.train.graphs.data), backend};
  BenchResult result{.backend = backend.name(),
                     .precision = precision_of(spec),
                     .batch = compiled.train.graphs.batch,
                     .steps = options.steps,
                     .samples = setting.data->info.count,
                     .parameters = compiled.parameters,
                     .flops = compiled.flops,
                     .planned = planned};
  const Dataset& data = *setting.data;
  result.planned.data = int64_t(data.images.size_bytes() + data.labels.size() * sizeof(int32_t));
  time_steps(setting, options, start, result);
  result.images_per_second = double(result.batch) / result.median_s;
  result.gflops = double(result.flops) / result.median_s * 1e-9;
  result.peak_rss_bytes = peak_resident_bytes();
  if (!options.profile) return result;
  time_nodes(setting, options, result);
  result.operators = operator_times(result.nodes);
  if (!options.limits) return result;
  time_alone(setting, options, result);
  result.peaks = measure_peaks(backend, result.precision, options.threads);
  return result;
}

}  // namespace expgraph
