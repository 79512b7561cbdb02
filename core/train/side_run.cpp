// side_run: one side of a compiled pipeline -> its steps over a store, and their metrics.
#include "core/train/side_run.h"

#include <algorithm>
#include <cmath>

#include "core/data/choices.h"
#include "core/train/schedules.h"

namespace expgraph {
namespace {

/// A metric of a step, summed over its samples.
double total_of(MetricSpec::Kind kind, float value, int64_t samples) {
  return kind == MetricSpec::Kind::mean ? double(value) * double(samples) : double(value);
}

const Node* producer(const Graph& graph, ValueId value) {
  return graph.is_leaf(value) ? nullptr : &graph.node(graph.value(value).producer);
}

}  // namespace

SideRun::SideRun(Source source)
    : batches({.full = source.full,
               .rest = source.rest,
               .data = source.data,
               .backend = source.backend,
               .seed = source.seed,
               .side = source.side}),
      source_(std::move(source)),
      infos_(describe_metrics()),
      full_(compile(source_.full)) {
  if (source_.rest != nullptr) rest_ = compile(*source_.rest);
}

SideRun::Step SideRun::compile(const SidePrograms& side) const {
  return {&side, source_.backend.compile(side.step.graph, side.step.plan, source_.options)};
}

std::vector<MetricInfo> SideRun::describe_metrics() const {
  const Graph& forward = graphs().forward;
  std::vector<MetricInfo> out;
  for (const MetricSpec& metric : graphs().metrics) {
    const auto result = std::find_if(forward.results().begin(), forward.results().end(),
                                     [&](const Result& r) { return r.name == metric.result; });
    EXPGRAPH_CHECK(result != forward.results().end());
    const Node* node = producer(forward, result->value);
    out.push_back({.name = source_.side + "/" + metric.name,
                   .percent = node != nullptr && node->op->name == "correct"});
  }
  return out;
}

void SideRun::start_values(const Leaf& leaf, const TensorView& values) const {
  initialise(source_.seed, leaf.name, leaf.initialiser, values.type, values.data);
  for (size_t k = 0; k < graphs().starts.size(); ++k) {
    const StartSpec& spec = graphs().starts[k];
    if (spec.state != leaf.name) continue;
    const Program& start = source_.full.starts[k];
    const Graph& graph = start.graph;
    const auto program =
        source_.backend.compile(graph, start.plan, {.threads = source_.options.threads});
    const std::unique_ptr<StateStore> none = source_.backend.make_store();
    const TensorType& raw = graph.type(graph.find_leaf("source")->value);
    const TensorType& made = graph.type(graph.results().front().value);
    const AlignedBuffer samples(made.bytes());
    const Binding input{"source", {raw, const_cast<uint8_t*>(source_.data->images.data())}};
    const Binding result{"samples", {made, samples.data()}};
    program->run(std::span(&input, 1), std::span(&result, 1), *none);
    spec.op->start(spec.attributes, made, reinterpret_cast<const float*>(samples.data()),
                   values.type, values.as<float>());
  }
}

void SideRun::create_states(StateStore& store) const {
  const Graph& graph = source_.full.step.graph;
  for (const Leaf& leaf : graph.leaves()) {
    if (leaf.kind != LeafKind::state || store.has(leaf.name)) continue;
    const TensorType& type = graph.type(leaf.value);
    const AlignedBuffer start(type.bytes());
    if (leaf.initialiser.kind == Initialiser::Kind::copy) {
      store.read(leaf.initialiser.of, {type, start.data()});
    } else {
      start_values(leaf, {type, start.data()});
    }
    store.create(leaf.name, type);
    store.write(leaf.name, {type, start.data()});
  }
}

/// On the host first, then where programs run.
void SideRun::write_schedules(const ScheduleTime& first, int64_t steps) {
  const std::vector<ScheduleSpec>& schedules = graphs().schedules;
  if (schedules.empty()) return;
  std::vector<float> values;
  for (ScheduleTime time = first; time.step < first.step + steps; ++time.step)
    for (const ScheduleSpec& schedule : schedules)
      values.push_back(static_cast<float>(schedule_value(*schedule.op, schedule.attributes, time)));
  const TensorType type{DType::f32, {steps, static_cast<int64_t>(schedules.size())}};
  schedules_ = source_.backend.make_buffer(type);
  source_.backend.copy({type, values.data()}, schedules_.tensor);
}

void SideRun::begin(int64_t epoch, const ScheduleTime& first, int64_t steps) {
  write_schedules(first, steps);
  const auto metrics = static_cast<int64_t>(graphs().metrics.size());
  values_ = source_.backend.make_buffer({DType::f32, {steps, metrics}});
  totals_.assign(graphs().metrics.size(), 0.0);
  sizes_.clear();
  taken_ = 0;
  samples_ = 0;
  last_loss_.reset();
  bad_step_.reset();
  batches.start(epoch, steps);
}

bool SideRun::step(StateStore& store) {
  const Batch batch = batches.next();
  const Step& now = batch.size == graphs().batch ? full_ : rest_;
  last_ = &now;
  const Graph& graph = now.side->step.graph;
  const std::vector<ScheduleSpec>& schedules = graphs().schedules;
  const auto row = static_cast<int64_t>(sizes_.size());
  std::vector<Binding> inputs = batch.choices, results;
  for (const Leaf& leaf : graph.leaves()) {
    if (leaf.kind != LeafKind::input) continue;
    if (leaf.name == "images") {
      inputs.push_back({leaf.name, batch.images});
    } else if (leaf.name == "label") {
      inputs.push_back({leaf.name, batch.label});
    } else {
      const auto schedule =
          std::find_if(schedules.begin(), schedules.end(),
                       [&](const ScheduleSpec& candidate) { return candidate.leaf == leaf.name; });
      EXPGRAPH_CHECK(schedule != schedules.end());
      const int64_t at = row * std::ssize(schedules) + (schedule - schedules.begin());
      inputs.push_back({leaf.name, schedules_.tensor.part(at, {})});
    }
  }
  const std::vector<MetricSpec>& metrics = graphs().metrics;
  for (int64_t k = 0; k < std::ssize(metrics); ++k) {
    results.push_back({metrics[static_cast<size_t>(k)].result,
                       values_.tensor.part(row * std::ssize(metrics) + k, {})});
  }
  now.program->run(inputs, results, store);

  sizes_.push_back(batch.size);
  samples_ += batch.size;
  if (!values_.tensor.on_device) take_metrics(values_.tensor.as<float>());
  return !bad_step_;
}

/// Of the steps since the last time; `values` as values_.
void SideRun::take_metrics(const float* values) {
  const std::vector<MetricSpec>& metrics = graphs().metrics;
  const auto loss = std::ranges::find(infos_, false, &MetricInfo::percent);
  const size_t loss_at = loss == infos_.end() ? 0 : static_cast<size_t>(loss - infos_.begin());
  for (; taken_ < sizes_.size(); ++taken_) {
    const int64_t size = sizes_[taken_];
    for (size_t k = 0; k < metrics.size(); ++k) {
      const float value = values[taken_ * metrics.size() + k];
      const double total = total_of(metrics[k].kind, value, size);
      totals_[k] += total;
      if (k == loss_at) last_loss_ = total / static_cast<double>(size);
      if (!std::isfinite(value) && !bad_step_) bad_step_ = static_cast<int64_t>(taken_);
    }
  }
}

std::optional<int64_t> SideRun::finish() {
  for (const Step* step : {&full_, &rest_})
    if (step->program != nullptr) step->program->wait();
  if (values_.tensor.on_device) {
    std::vector<float> values(static_cast<size_t>(values_.tensor.type.elements()));
    source_.backend.copy(values_.tensor, {values_.tensor.type, values.data()});
    take_metrics(values.data());
  }
  return bad_step_;
}

std::vector<double> SideRun::metrics() const {
  std::vector<double> out;
  for (const double total : totals_) out.push_back(total / static_cast<double>(samples_));
  return out;
}

SideMemory SideRun::memory() const {
  const int64_t rest = rest_.program ? rest_.program->workspace_bytes() : 0;
  return {.states = source_.full.step.plan.state_bytes,
          .step = std::max(full_.program->workspace_bytes(), rest),
          .batches = batches.batch_bytes(),
          .feed = batches.feed_bytes(),
          .samples = batches.sample_bytes()};
}

std::optional<double> SideRun::last_loss() const { return last_loss_; }

double SideRun::learning_rate(const ScheduleTime& time) const {
  if (!graphs().training) return 0;
  const ValueId lr = graphs().training->optimisers.front().lr;
  const std::string& leaf = graphs().forward.leaf(lr).name;
  for (const ScheduleSpec& schedule : graphs().schedules) {
    if (schedule.leaf == leaf) return schedule_value(*schedule.op, schedule.attributes, time);
  }
  return 0;
}

void SideRun::check_finite() {
  source_.options.check_finite = true;
  full_ = compile(source_.full);
  if (source_.rest != nullptr) rest_ = compile(*source_.rest);
}

const Node* SideRun::first_bad_node() const {
  const auto bad = last_->program->first_non_finite();
  return bad ? &last_->side->step.graph.node(*bad) : nullptr;
}

const Node* SideRun::writer_of(const std::string& state) const {
  const Graph& graph = source_.full.step.graph;
  for (const StateUpdate& update : graph.updates()) {
    if (graph.leaf(update.state).name == state) return producer(graph, update.value);
  }
  return nullptr;
}

}  // namespace expgraph
