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
    int64_t bytes = batch * size_of(DType::i32) + result_type(graph, "images").bytes() +
                    result_type(graph, "label").bytes();
    for (const Graph* reader : {&graph, &step}) {
      for (const Leaf& leaf : reader->leaves()) {
        if (leaf.kind == LeafKind::choice) bytes += reader->type(leaf.value).bytes();
      }
    }
    return bytes;
  }
};

/// Memory of one batch; a smaller one uses its beginning.
struct Batches::Slot {
  AlignedBuffer index;
  Buffer images, label;  // made by the feed and read by the step
  std::map<std::string, AlignedBuffer> choices;
  Batch batch;

  Slot(const Feed& feed, const Backend& backend)
      : index(feed.batch * size_of(DType::i32)),
        images(backend.make_buffer(result_type(feed.graph, "images"))),
        label(backend.make_buffer(result_type(feed.graph, "label"))) {
    for (const Graph* graph : {&feed.graph, &feed.step}) {
      for (const Leaf& leaf : graph->leaves()) {
        if (leaf.kind != LeafKind::choice) continue;
        choices.emplace(leaf.name, AlignedBuffer(graph->type(leaf.value).bytes()));
      }
    }
  }

  /// The rows of these samples, of all that were drawn for a leaf.
  Binding take(const Graph& graph, const Leaf& leaf, const std::vector<int32_t>& all,
               std::span<const int32_t> samples) {
    const auto width = static_cast<int64_t>(leaf.choice.bounds.size());
    auto* to = reinterpret_cast<int32_t*>(choices.at(leaf.name).data());
    for (const int32_t sample : samples) {
      to = std::copy_n(all.begin() + int64_t{sample} * width, width, to);
    }
    return {leaf.name, {graph.type(leaf.value), choices.at(leaf.name).data()}};
  }
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
  if (source_.full.graphs.shuffle) {
    order_ = sample_order(source_.seed, source_.side, epoch, count);
  } else {
    order_.resize(static_cast<size_t>(count));
    std::iota(order_.begin(), order_.end(), 0);
  }
  draw(full_->graph, epoch);
  draw(full_->step, epoch);
  prefetcher_ = std::make_unique<Prefetcher<Slot>>(
      steps, [this] { return Slot(*full_, source_.backend); },
      [this](int64_t step, Slot& slot) { fill(step, slot); });
}

void Batches::draw(const Graph& graph, int64_t epoch) {
  for (const Leaf& leaf : graph.leaves()) {
    if (leaf.kind != LeafKind::choice) continue;
    const int64_t count = source_.data->info.count;
    choices_[leaf.name] = draw_choices(source_.seed, leaf.name, epoch, count, leaf.choice);
  }
}

void Batches::fill(int64_t step, Slot& slot) {
  const int64_t first = step * full_->batch;
  const bool is_rest = first + full_->batch > source_.data->info.count;
  EXPGRAPH_CHECK(!is_rest || rest_ != nullptr);
  const Feed& feed = is_rest ? *rest_ : *full_;
  const std::span<const int32_t> index =
      std::span(order_).subspan(static_cast<size_t>(first), static_cast<size_t>(feed.batch));
  std::memcpy(slot.index.data(), index.data(), index.size_bytes());

  std::vector<Binding> inputs;
  for (const Leaf& leaf : feed.graph.leaves()) {
    const TensorType& type = feed.graph.type(leaf.value);
    if (leaf.kind == LeafKind::choice) {
      inputs.push_back(slot.take(feed.graph, leaf, choices_.at(leaf.name), index));
    } else if (leaf.name == "samples") {
      inputs.push_back({leaf.name, samples_, true});
    } else if (leaf.name == "labels") {
      inputs.push_back(
          {leaf.name, {type, const_cast<int32_t*>(source_.data->labels.data())}, true});
    } else {
      EXPGRAPH_CHECK(leaf.name == "index");
      inputs.push_back({leaf.name, {type, slot.index.data()}});
    }
  }
  slot.batch = {.size = feed.batch, .images = slot.images.tensor, .label = slot.label.tensor};
  slot.batch.images.type = result_type(feed.graph, "images");
  slot.batch.label.type = result_type(feed.graph, "label");
  for (const Leaf& leaf : feed.step.leaves()) {
    if (leaf.kind != LeafKind::choice) continue;
    slot.batch.choices.push_back(slot.take(feed.step, leaf, choices_.at(leaf.name), index));
  }
  const std::vector<Binding> results = {{"images", slot.batch.images}, {"label", slot.batch.label}};
  feed.program->run(inputs, results, *store_);
}

Batch Batches::next() { return prefetcher_->next().batch; }

int64_t Batches::batch_bytes() const { return Prefetcher<Slot>::kSlots * full_->slot_bytes(); }

int64_t Batches::feed_bytes() const {
  return std::max(full_->program->workspace_bytes(), rest_ ? rest_->program->workspace_bytes() : 0);
}

int64_t Batches::sample_bytes() const { return prepared_ ? prepared_->samples.bytes() : 0; }

}  // namespace expgraph
