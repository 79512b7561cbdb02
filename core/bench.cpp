// bench: a pipeline -> how long a step of its training takes on a backend, on generated samples.
#include "core/bench.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>

#include "core/data/choices.h"
#include "core/precision_of.h"
#include "core/train/side_run.h"

namespace expgraph {
namespace {

constexpr int64_t kBatches = 4;  // that are generated; steps go round them
constexpr int64_t kMostSamples = 1 << 20;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The size of the training side's batch node; null when it has none.
yaml::Value* batch_size(FlatSpec& spec) {
  for (SpecNode& node : spec.nodes) {
    const OpSchema* schema = node.is_group ? nullptr : find_op(node.op);
    const bool train = node.path.starts_with("train/");
    if (schema == nullptr || schema->role != OpRole::batch || !train) continue;
    for (AttributeSpec& attribute : node.attributes) {
      if (attribute.name == "size") return &attribute.value;
    }
  }
  return nullptr;
}

/// The data set's shape, with room for any batch.
DatasetInfo endless(const std::string& name, const std::string& split, const Location& where,
                    const Attributes& attributes) {
  DatasetInfo info = dataset_info(name, split, where, attributes);
  info.count = std::max(info.count, kMostSamples);
  return info;
}

/// Random bytes and labels.
std::shared_ptr<const Dataset> generate(const DatasetInfo& info) {
  struct Storage {
    std::vector<int32_t> pixels, labels;
  };
  const auto storage = std::make_shared<Storage>();
  const int64_t words = info.count * info.height * info.width * info.channels / 4 + 1;
  storage->pixels = draw_choices(0, "pixels", 0, words, {{std::numeric_limits<int32_t>::max()}});
  storage->labels = draw_choices(0, "labels", 0, info.count, {{info.classes}});
  auto data = std::make_shared<Dataset>();
  data->info = info;
  data->images = {reinterpret_cast<const uint8_t*>(storage->pixels.data()),
                  static_cast<size_t>(info.count * info.height * info.width * info.channels)};
  data->labels = storage->labels;
  data->identity = "generated";
  data->storage = storage;
  return data;
}

/// The training side of a compiled pipeline, going round its few batches.
class Training {
 public:
  Training(const CompiledPipeline& compiled, std::shared_ptr<const Dataset> data,
           const Backend& backend, const CompileOptions& options)
      : store_(backend.make_store()),
        side_({.full = compiled.train,
               .data = std::move(data),
               .backend = backend,
               .options = options,
               .side = "train"}) {
    side_.batches.prepare(options.threads);
    side_.create_states(*store_);
  }

  /// Seconds of the next step. Starting a round is not part of it.
  double step() {
    if (done_ % kBatches == 0) side_.begin(done_ / kBatches, kBatches);
    ++done_;
    const auto start = std::chrono::steady_clock::now();
    side_.step({}, *store_);
    return seconds_since(start);
  }

  std::vector<NodeTime> node_times() const { return side_.node_times(); }

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

std::vector<TimedNode> time_nodes(const Graph& graph, Training& training, int64_t steps) {
  std::map<size_t, TimedNode> found;
  for (int64_t k = 0; k < steps; ++k) {
    training.step();
    const std::vector<NodeTime> times = training.node_times();
    for (size_t at = 0; at < times.size(); ++at) {
      const Node& node = graph.node(times[at].node);
      TimedNode& entry = found[at];
      if (k == 0) entry = {.name = display_name(node), .cost = cost_of(graph, node)};
      entry.seconds += times[at].seconds / double(steps);
    }
  }
  std::vector<TimedNode> out;
  for (auto& [at, entry] : found) out.push_back(std::move(entry));
  return out;
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

int64_t peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

BenchResult bench(FlatSpec spec, const Backend& backend, const BenchOptions& options) {
  if (yaml::Value* size = batch_size(spec); size != nullptr && options.batch > 0) {
    size->scalar = fmt::format("{}", options.batch);
  }
  const int64_t batch = build_pipeline(spec, {.dataset = endless}).train.batch;
  const auto start = std::chrono::steady_clock::now();
  CompilePipelineOptions compile{.backend = backend.name()};
  compile.build.dataset = [&](const std::string& name, const std::string& split,
                              const Location& where, const Attributes& attributes) {
    DatasetInfo info = dataset_info(name, split, where, attributes);
    if (split == "train") info.count = kBatches * batch;
    return info;
  };
  const CompiledPipeline compiled = compile_pipeline(spec, compile);
  const std::shared_ptr<const Dataset> data = generate(compiled.train.graphs.data);
  BenchResult result{.backend = backend.name(),
                     .precision = precision_of(spec),
                     .batch = compiled.train.graphs.batch,
                     .steps = options.steps,
                     .samples = data->info.count,
                     .parameters = compiled.parameters,
                     .flops = compiled.flops,
                     .planned_bytes = compiled.peak_bytes};
  {
    Training training(compiled, data, backend, {.threads = options.threads});
    result.compile_s = seconds_since(start);
    result.first_step_s = training.step();
    for (int64_t k = 1; k < options.warm_up; ++k) training.step();
    std::vector<double> times;
    for (int64_t k = 0; k < options.steps; ++k) times.push_back(training.step());
    std::sort(times.begin(), times.end());
    result.median_s = quantile(times, 0.5);
    result.lower_s = quantile(times, 0.25);
    result.upper_s = quantile(times, 0.75);
  }
  result.images_per_second = double(result.batch) / result.median_s;
  result.gflops = double(result.flops) / result.median_s * 1e-9;
  result.peak_rss_bytes = peak_resident_bytes();
  if (options.profile) {
    Training training(compiled, data, backend, {.threads = options.threads, .profile = true});
    for (int64_t k = 0; k < options.warm_up; ++k) training.step();
    const int64_t steps = std::clamp<int64_t>(options.steps / 4, 1, 10);
    result.nodes = time_nodes(compiled.train.step.graph, training, steps);
    result.operators = operator_times(result.nodes);
  }
  return result;
}

}  // namespace expgraph
