// verify_backends: a pipeline and two backends -> how far apart the first steps of its training
// are.
#include "core/verify_backends.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/train/side_run.h"

namespace expgraph {

namespace {

/// The training of one backend.
class Training {
 public:
  Training(const FlatSpec& spec, const Backend& backend, OpenDatasets& datasets,
           const VerifyOptions& options)
      : pipeline_(open_pipeline(spec, {.backend = backend.name()}, datasets)),
        store_(backend.make_store()),
        side_({.full = pipeline_.compiled.train,
               .data = pipeline_.train,
               .backend = backend,
               .options = {.threads = options.threads},
               .seed = options.seed,
               .side = "train"}) {
    side_.batches.prepare(options.threads);
    side_.create_states(*store_);
  }

  /// Runs step k of the training and gives its loss, per sample.
  double step(int64_t k, int64_t all) {
    const int64_t whole = whole_batches(), done = k % whole;
    const int64_t epoch_steps = pipeline_.compiled.steps_per_epoch;
    const ScheduleTime first{.step = k / whole * epoch_steps,
                             .steps_per_epoch = epoch_steps,
                             .steps = pipeline_.compiled.steps};
    if (done == 0) side_.begin(k / whole, first, std::min(whole, all - k));
    side_.step(*store_);
    side_.finish();
    return *side_.last_loss();
  }

  /// Moves every weight by one part in 2^23 (the last bit), up and down in turn.
  void nudge() {
    for (const Leaf& leaf : pipeline_.compiled.train.step.graph.leaves()) {
      if (!leaf.trainable) continue;
      const TensorType type = store_->type(leaf.name);
      const AlignedBuffer buffer(type.bytes());
      const TensorView weights{type, buffer.data()};
      EXPGRAPH_CHECK(type.dtype == DType::f32);
      store_->read(leaf.name, weights);
      for (int64_t i = 0; i < type.elements(); ++i)
        weights.as<float>()[i] *= 1 + (i % 2 == 0 ? 1 : -1) * 0x1p-23f;
      store_->write(leaf.name, weights);
    }
  }

  int64_t whole_batches() const { return side_.graphs().data.count / side_.graphs().batch; }
  const StateStore& store() const { return *store_; }

 private:
  OpenPipeline pipeline_;
  std::unique_ptr<StateStore> store_;
  SideRun side_;
};

template <typename T>
Difference compare(const T* a, const T* b, int64_t count) {
  Difference found;
  double largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double apart = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!(apart <= found.absolute) && !std::isnan(found.absolute)) found.absolute = apart;
    largest = std::max(largest, std::abs(static_cast<double>(a[i])));
  }
  found.relative = found.absolute == 0 ? 0 : found.absolute / largest;
  return found;
}

Difference state_difference(const std::string& name, const StateStore& a, const StateStore& b) {
  const TensorType type = a.type(name);
  EXPGRAPH_CHECK(b.type(name) == type);
  const AlignedBuffer of_a(type.bytes()), of_b(type.bytes());
  a.read(name, {type, of_a.data()});
  b.read(name, {type, of_b.data()});
  return difference_of(name, {type, of_a.data()}, {type, of_b.data()});
}

/// NaN is larger than any number.
double larger(double a, double b) { return std::isnan(a) || a >= b ? a : b; }

bool more_severe(const Difference& a, const Difference& b) {
  return std::isnan(a.relative) ? !std::isnan(b.relative) : a.relative > b.relative;
}

}  // namespace

double BackendDifferences::worst() const {
  double worst = 0;
  for (const auto* list : {&losses, &states})
    for (const Difference& one : *list) worst = larger(worst, one.relative);
  return worst;
}

double BackendDifferences::worst_chaos() const {
  double worst = 0;
  for (const auto* list : {&losses, &states})
    for (const Difference& one : *list) worst = larger(worst, one.chaos);
  return worst;
}

Difference difference_of(std::string name, const TensorView& a, const TensorView& b) {
  EXPGRAPH_CHECK(a.type == b.type);
  EXPGRAPH_CHECK(a.type.dtype == DType::f32 || a.type.dtype == DType::f64);
  const int64_t count = a.type.elements();
  Difference found = a.type.dtype == DType::f64 ? compare(a.as<double>(), b.as<double>(), count)
                                                : compare(a.as<float>(), b.as<float>(), count);
  found.name = std::move(name);
  return found;
}

BackendDifferences verify_backends(const FlatSpec& spec, const Backend& a, const Backend& b,
                                   OpenDatasets& datasets, const VerifyOptions& options) {
  Training of_a(spec, a, datasets, options), of_b(spec, b, datasets, options);
  Training nudged(spec, b, datasets, options);
  nudged.nudge();
  BackendDifferences found{.a = a.name(), .b = b.name()};
  for (int64_t k = 0; k < options.steps; ++k) {
    const double loss_a = of_a.step(k, options.steps), loss_b = of_b.step(k, options.steps);
    const double loss_nudged = nudged.step(k, options.steps);
    Difference& loss = found.losses.emplace_back(compare(&loss_a, &loss_b, 1));
    loss.name = fmt::format("loss of step {}", k + 1);
    loss.chaos = compare(&loss_b, &loss_nudged, 1).relative;
  }
  const std::vector<std::string> names = of_a.store().names();
  EXPGRAPH_CHECK(names == of_b.store().names());
  for (const std::string& name : names) {
    Difference& state =
        found.states.emplace_back(state_difference(name, of_a.store(), of_b.store()));
    state.chaos = state_difference(name, of_b.store(), nudged.store()).relative;
  }
  std::ranges::stable_sort(found.states, more_severe);
  return found;
}

}  // namespace expgraph
