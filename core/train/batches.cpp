// batches: the samples of one side and a seed -> its batches, epoch by epoch.
#include "core/train/batches.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>

#include "core/data/choices.h"

namespace expgraph {
namespace {

TensorView view_of(const Dataset& data) {
  const DatasetInfo& info = data.info;
  return {{DType::u8, {info.count, info.height, info.width, info.channels}},
          const_cast<uint8_t*>(data.images.data())};  // inputs are only read
}

const TensorType& result_type(const Graph& graph, std::string_view name) {
  const auto found = std::find_if(graph.results().begin(), graph.results().end(),
                                  [&](const Result& result) { return result.name == name; });
  EXPGRAPH_CHECK(found != graph.results().end());
  return graph.type(found->value);
}

}  // namespace

/// A feed program at one batch size.
struct Batches::Feed {
  const Graph& graph;
  const Graph& step;
  int64_t batch = 0;
  std::unique_ptr<Executable> program;

  Feed(const SidePrograms& side, const Backend& backend)
      : graph(side.feed.graph),
        step(side.step.graph),
        batch(side.graphs.batch),
        // One thread: the others belong to the step that runs meanwhile.
        program(backend.compile(side.feed.graph, side.feed.plan, {.threads = 1})) {}

  /// Of one Slot.
  int64_t slot_bytes() const {
    return result_type(graph, "images").bytes() + result_type(graph, "label").bytes();
  }
};

/// Memory of one batch, made by the feed and read by the step; a smaller one uses its beginning.
struct Batches::Slot {
  Buffer images, label;
  Batch batch;

  Slot(const Feed& feed, const Backend& backend)
      : images(backend.make_buffer(result_type(feed.graph, "images"))),
        label(backend.make_buffer(result_type(feed.graph, "label"))) {}
};

Batches::Batches(Source source) : source_(std::move(source)) {
  store_ = source_.backend.make_store();
  full_ = std::make_unique<Feed>(source_.full, source_.backend);
  if (source_.rest != nullptr) rest_ = std::make_unique<Feed>(*source_.rest, source_.backend);
  EXPGRAPH_CHECK(source_.data->info.count == source_.full.graphs.data.count);
}

Batches::~Batches() = default;

double Batches::prepare(int threads, PreparedSamples* shared) {
  samples_ = view_of(*source_.data);
  if (!source_.full.prepare) return 0;
  const Graph& graph = source_.full.prepare->graph;
  const auto make = [&] { return run_prepare(threads); };
  if (shared == nullptr) {
    prepared_ = std::make_shared<const Prepared>(make());
  } else {
    const std::string key = fmt::format("{} {}\n{}", source_.data->identity,
                                        source_.full.graphs.prepare_chunk, to_text(graph));
    prepared_ = shared->get(key, make);
  }
  samples_.type = result_type(graph, "samples");
  samples_.type.shape[0] = source_.data->info.count;
  samples_.data = const_cast<std::byte*>(prepared_->samples.data());  // inputs are only read
  store_ = source_.backend.make_store();  // chunks are larger than batches
  return prepared_->seconds;
}

Prepared Batches::run_prepare(int threads) {
  const auto start = std::chrono::steady_clock::now();
  const Program& prepare = *source_.full.prepare;
  const Graph& graph = prepare.graph;
  const auto program = source_.backend.compile(graph, prepare.plan, {.threads = threads});
  const int64_t chunk = source_.full.graphs.prepare_chunk;
  const int64_t count = source_.data->info.count;
  const TensorView raw = view_of(*source_.data);
  TensorType raw_chunk = raw.type;
  raw_chunk.shape[0] = chunk;
  const TensorType& made_chunk = result_type(graph, "samples");
  const int64_t raw_bytes = raw_chunk.bytes() / chunk;
  const int64_t made_bytes = made_chunk.bytes() / chunk;
  Prepared out{.samples = AlignedBuffer(count * made_bytes)};
  for (int64_t done = 0; done < count; done += chunk) {
    // The last chunk reaches back over samples that are done: the same bytes again.
    const int64_t first = std::min(done, count - chunk);
    const Binding input{"source", {raw_chunk, raw.as<std::byte>() + first * raw_bytes}};
    const Binding result{"samples", {made_chunk, out.samples.data() + first * made_bytes}};
    program->run(std::span(&input, 1), std::span(&result, 1), *store_);
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  out.seconds = taken.count();
  return out;
}

void Batches::start(int64_t epoch, int64_t steps) {
  prefetcher_.reset();  // its thread reads the order and the choices
  const int64_t count = source_.data->info.count;
  std::vector<int32_t> indices(static_cast<size_t>(count));
  std::iota(indices.begin(), indices.end(), 0);
  order_ = source_.full.graphs.shuffle ? sample_order(source_.seed, source_.side, epoch, count)
                                       : indices;
  fill_table(samples_in_order_, indices);
  draw(full_->graph, epoch);
  draw(full_->step, epoch);
  prefetcher_ = std::make_unique<Prefetcher<Slot>>(
      steps, [this] { return Slot(*full_, source_.backend); },
      [this](int64_t step, Slot& slot) { fill(step, slot); });
}

void Batches::fill_table(Table& table, const std::vector<int32_t>& by_sample) {
  const auto count = static_cast<int64_t>(order_.size());
  table.width = static_cast<int64_t>(by_sample.size()) / count;
  const TensorType type{DType::i32, {count, table.width}};
  const AlignedBuffer in_order(type.bytes());
  auto* to = reinterpret_cast<int32_t*>(in_order.data());
  for (const int32_t sample : order_)
    to = std::copy_n(by_sample.begin() + int64_t{sample} * table.width, table.width, to);
  if (table.memory.memory == nullptr) table.memory = source_.backend.make_buffer(type);
  source_.backend.copy({type, in_order.data()}, table.memory.tensor);
}

void Batches::draw(const Graph& graph, int64_t epoch) {
  const int64_t count = source_.data->info.count;
  for (const Leaf& leaf : graph.leaves()) {
    if (leaf.kind != LeafKind::choice) continue;
    fill_table(choices_[leaf.name],
               draw_choices(source_.seed, leaf.name, epoch, count, leaf.choice));
  }
}

/// Those of the samples from `first` on.
std::vector<Binding> Batches::choices_of(const Graph& graph, int64_t first) const {
  std::vector<Binding> choices;
  for (const Leaf& leaf : graph.leaves()) {
    if (leaf.kind != LeafKind::choice) continue;
    const auto& [memory, width] = choices_.at(leaf.name);
    choices.push_back({leaf.name, memory.tensor.part(first * width, graph.type(leaf.value).shape)});
  }
  return choices;
}

void Batches::fill(int64_t step, Slot& slot) {
  const int64_t first = step * full_->batch;
  const bool is_rest = first + full_->batch > source_.data->info.count;
  EXPGRAPH_CHECK(!is_rest || rest_ != nullptr);
  const Feed& feed = is_rest ? *rest_ : *full_;

  std::vector<Binding> inputs = choices_of(feed.graph, first);
  for (const Leaf& leaf : feed.graph.leaves()) {
    const TensorType& type = feed.graph.type(leaf.value);
    if (leaf.name == "samples") {
      inputs.push_back({leaf.name, samples_, true});
    } else if (leaf.name == "labels") {
      inputs.push_back(
          {leaf.name, {type, const_cast<int32_t*>(source_.data->labels.data())}, true});
    } else if (leaf.kind == LeafKind::input) {
      EXPGRAPH_CHECK(leaf.name == "index");
      inputs.push_back({leaf.name, samples_in_order_.memory.tensor.part(first, type.shape)});
    }
  }
  slot.batch = {.size = feed.batch,
                .images = slot.images.tensor,
                .label = slot.label.tensor,
                .choices = choices_of(feed.step, first)};
  slot.batch.images.type = result_type(feed.graph, "images");
  slot.batch.label.type = result_type(feed.graph, "label");
  const std::vector<Binding> results = {{"images", slot.batch.images}, {"label", slot.batch.label}};
  feed.program->run(inputs, results, *store_);
  feed.program->wait();  // the step is another program, over another store
}

Batch Batches::next() { return prefetcher_->next().batch; }

int64_t Batches::batch_bytes() const {
  int64_t bytes = Prefetcher<Slot>::kSlots * full_->slot_bytes();
  const int64_t row = source_.data->info.count * size_of(DType::i32);
  bytes += row;  // the order
  for (const Graph* graph : {&full_->graph, &full_->step})
    for (const Leaf& leaf : graph->leaves())
      bytes += row * static_cast<int64_t>(leaf.choice.bounds.size());
  return bytes;
}

int64_t Batches::feed_bytes() const {
  return std::max(full_->program->workspace_bytes(), rest_ ? rest_->program->workspace_bytes() : 0);
}

int64_t Batches::sample_bytes() const { return prepared_ ? prepared_->samples.bytes() : 0; }

}  // namespace expgraph
