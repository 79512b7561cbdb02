// runner: a pipeline, a seed and a backend -> a trained net and the record of how it was trained.
#include "core/train/runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "core/host_executor.h"
#include "core/ir/op_schema.h"
#include "core/train/checkpoints.h"
#include "core/train/side_run.h"

namespace expgraph {
namespace {

/// Adds the time of its scope to a clock.
class Timer {
 public:
  explicit Timer(double& clock) : clock_(clock) {}
  ~Timer() { clock_ += seconds(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  double& clock_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

class Run {
 public:
  Run(const FlatSpec& spec, const Backend& backend, OpenDatasets& datasets, Fs& fs,
      const RunOptions& options)
      : backend_(backend), fs_(fs), options_(options), checkpoints_(fs, options.checkpoints) {
    const double data_before = datasets.seconds();
    {
      const Timer timer(record_.clocks.compilation);
      open(spec, datasets);
      make_sides();
    }
    record_.clocks.data = datasets.seconds() - data_before;
    record_.clocks.compilation -= record_.clocks.data;
  }

  RunRecord go() {
    // What another run has prepared costs this one as much as if it were alone.
    record_.clocks.preprocessing = train_->batches.prepare(options_.threads, options_.prepared);
    {
      const Timer timer(record_.clocks.preprocessing);
      train_->create_states(*store_);
    }
    prepare_test();
    if (test_) test_->create_states(*store_);
    restore();
    while (!record_.finished()) {
      const auto epoch = static_cast<int64_t>(record_.history.size());
      EpochRecord row = train_epoch(epoch);
      evaluate(epoch, row);
      record_.history.push_back(std::move(row));
      record_.stopped = stop_holds();
      save();
      if (options_.observer.epoch) options_.observer.epoch(record_);
    }
    return record_;
  }

  std::optional<RunRecord> evaluate_trained(const TrainedRun& trained) {
    if (!test_) return std::nullopt;
    prepare_test();
    train_->create_states(*store_);
    test_->create_states(*store_);
    const Checkpoints source(fs_, trained.checkpoints);
    const auto epoch = static_cast<int64_t>(trained.record.history.size());
    if (!source.restore(*store_, options_.observer.note, epoch)) return std::nullopt;
    take_training(trained.record);
    EpochRecord& last = record_.history.back();
    last.metrics.resize(train_->metric_infos().size());
    evaluate(epoch - 1, last);
    if (options_.observer.epoch) options_.observer.epoch(record_);
    return record_;
  }

 private:
  void prepare_test() {
    if (!test_) return;
    const Timer timer(record_.clocks.validation);
    test_->batches.prepare(options_.threads, options_.prepared);
  }

  bool stop_holds() const {
    const std::optional<Condition>& stop = pipeline_.compiled.stop;
    if (!stop || static_cast<int64_t>(record_.history.size()) == record_.epochs) return false;
    return stop->holds(record_.history.back().metrics[record_.find_metric(stop->metric).value()]);
  }

  /// All of a record that training gives, with the metrics of this run's own test still open.
  void take_training(const RunRecord& from) {
    record_.timed = from.timed;
    record_.stopped = from.stopped;
    const double validation = record_.clocks.validation;
    record_.clocks = from.clocks;
    record_.clocks.validation = validation;
    for (EpochRecord row : from.history) {
      std::vector<double> metrics(record_.metrics.size(), std::numeric_limits<double>::quiet_NaN());
      for (size_t k = 0; k < train_->metric_infos().size(); ++k) {
        metrics[k] = row.metrics[from.find_metric(record_.metrics[k].name).value()];
      }
      row.metrics = std::move(metrics);
      record_.history.push_back(std::move(row));
    }
  }

  void open(const FlatSpec& spec, OpenDatasets& datasets) {
    CompilePipelineOptions options{.backend = backend_.name()};
    pipeline_ = open_pipeline(spec, options, datasets);
    const CompiledPipeline& compiled = pipeline_.compiled;
    const int64_t train_rest = remainder_batch(compiled.train.graphs);
    const int64_t test_rest = compiled.test ? remainder_batch(compiled.test->graphs) : 0;
    if (train_rest > 0) options.build.train_batch = train_rest;
    if (test_rest > 0) options.build.test_batch = test_rest;
    if (train_rest > 0 || test_rest > 0) rest_ = open_pipeline(spec, options, datasets).compiled;
    record_.epochs = static_cast<int64_t>(std::ceil(compiled.epochs - 1e-9));
    record_.steps = compiled.steps;
    record_.parameters = compiled.parameters;
    record_.macs = compiled.macs;
    record_.peak_bytes = compiled.peak_bytes;
    record_.timed = options_.timed;
  }

  void make_sides() {
    store_ = backend_.make_store();
    const CompiledPipeline& compiled = pipeline_.compiled;
    const bool train_rest = remainder_batch(compiled.train.graphs) > 0;
    train_ = std::make_unique<SideRun>(SideRun::Source{.full = compiled.train,
                                                       .rest = train_rest ? &rest_->train : nullptr,
                                                       .data = pipeline_.train,
                                                       .backend = backend_,
                                                       .options = {.threads = options_.threads},
                                                       .seed = options_.seed,
                                                       .side = "train"});
    add_metrics(*train_);
    if (!compiled.test) return;
    const bool test_rest = remainder_batch(compiled.test->graphs) > 0;
    test_ = std::make_unique<SideRun>(SideRun::Source{.full = *compiled.test,
                                                      .rest = test_rest ? &*rest_->test : nullptr,
                                                      .data = pipeline_.test,
                                                      .backend = backend_,
                                                      .options = {.threads = options_.threads},
                                                      .seed = options_.seed,
                                                      .side = "test"});
    add_metrics(*test_);
  }

  void add_metrics(const SideRun& side) {
    record_.metrics.insert(record_.metrics.end(), side.metric_infos().begin(),
                           side.metric_infos().end());
  }

  /// Goes on after the newest checkpoint. What was done before counts once: the preprocessing of
  /// this process only repeats it.
  void restore() {
    if (options_.checkpoints.empty()) return;
    const auto saved = checkpoints_.restore(*store_, options_.observer.note);
    if (!saved) return;
    const Clocks now = record_.clocks;
    record_.history = saved->history;
    record_.stopped = saved->stopped;
    record_.timed = record_.timed && saved->timed;
    record_.clocks = saved->clocks;
    record_.clocks.compilation += now.compilation;
    record_.clocks.data += now.data;
    if (options_.observer.note && !record_.finished()) {
      options_.observer.note(fmt::format("continues after epoch {} of {}",
                                         record_.history.back().epoch, record_.epochs));
    }
  }

  int64_t steps_of(int64_t epoch) const {
    const int64_t all = pipeline_.compiled.steps_per_epoch;
    return std::min(all, record_.steps - epoch * all);
  }

  ScheduleTime time_of(int64_t epoch, int64_t step) const {
    const int64_t all = pipeline_.compiled.steps_per_epoch;
    return {.step = epoch * all + step, .steps_per_epoch = all, .steps = record_.steps};
  }

  /// The steps of an epoch, until one is known to be bad; `done` is called after each.
  void run_steps(SideRun& side, int64_t epoch, int64_t steps,
                 const std::function<void(int64_t)>& done) {
    side.begin(epoch, time_of(epoch, 0), steps);
    for (int64_t step = 0; step < steps; ++step) {
      if (options_.stop != nullptr && *options_.stop) interrupt();
      if (!side.step(*store_)) return;
      done(step);
    }
  }

  EpochRecord train_epoch(int64_t epoch) {
    EpochRecord row{.epoch = epoch + 1};
    const int64_t steps = steps_of(epoch);
    double seconds = 0;
    {
      const Timer timer(seconds);
      run_steps(*train_, epoch, steps, [&](int64_t step) { report(epoch, step, timer.seconds()); });
      if (const auto bad = train_->finish()) fail_training(epoch, *bad);
    }
    record_.clocks.steps += seconds;
    row.learning_rate = train_->learning_rate(time_of(epoch, steps));
    row.metrics = train_->metrics();
    row.seconds = record_.clocks.training();
    row.images_per_second = static_cast<double>(train_->samples()) / seconds;
    return row;
  }

  void report(int64_t epoch, int64_t step, double seconds) const {
    if (!options_.observer.step) return;
    options_.observer.step({.step = epoch * pipeline_.compiled.steps_per_epoch + step + 1,
                            .steps = record_.steps,
                            .epoch = epoch + 1,
                            .epochs = record_.epochs,
                            .loss = train_->last_loss(),
                            .images_per_second = static_cast<double>(train_->samples()) / seconds});
  }

  void evaluate(int64_t epoch, EpochRecord& row) {
    if (!test_) return;
    const Timer timer(record_.clocks.validation);
    const int64_t steps = steps_of_epoch(test_->graphs());
    run_steps(*test_, epoch, steps, [](int64_t) {});
    if (const auto bad = test_->finish()) fail_evaluation(epoch, *bad);
    const std::vector<double> metrics = test_->metrics();
    row.metrics.insert(row.metrics.end(), metrics.begin(), metrics.end());
  }

  void save() {
    if (options_.checkpoints.empty()) return;
    double seconds = 0;
    {
      const Timer timer(seconds);
      checkpoints_.write(record_, *store_);
    }
    record_.clocks.checkpoints += seconds;
  }

  [[noreturn]] void interrupt() const {
    std::string kept = "nothing was finished yet";
    if (!record_.history.empty()) {
      kept = fmt::format("{} of {} epochs are kept", record_.history.size(), record_.epochs);
    }
    throw Error("interrupted: " + kept, {}, ExitCode::interrupted);
  }

  /// Ends the run after a metric of `step` was NaN or Inf: the same steps are run again from where
  /// the states are known, with every value looked at, until the first bad one.
  [[noreturn]] void fail_training(int64_t epoch, int64_t step);
  [[noreturn]] void fail_evaluation(int64_t epoch, int64_t step);
  /// Runs the first `steps` steps of an epoch; throws at the first bad node.
  void replay(SideRun& side, int64_t epoch, int64_t steps);
  /// Throws when a state is not finite, naming the node that wrote it.
  void check_states(int64_t epoch) const;

  const Backend& backend_;
  Fs& fs_;
  const RunOptions& options_;
  Checkpoints checkpoints_;
  OpenPipeline pipeline_;
  std::optional<CompiledPipeline> rest_;
  std::unique_ptr<StateStore> store_;
  std::unique_ptr<SideRun> train_, test_;
  RunRecord record_;
};

/// "'train/net/conv' (conv2d)".
std::string described(const Node& node) {
  return fmt::format("'{}' ({})", node.path, display_name(node));
}

void Run::check_states(int64_t epoch) const {
  for (const std::string& name : store_->names()) {
    const TensorType type = store_->type(name);
    const AlignedBuffer copy(type.bytes());
    store_->read(name, {type, copy.data()});
    if (all_finite({type, copy.data()})) continue;
    const Node* writer = train_->writer_of(name);
    throw Diverged(
        fmt::format("the run has diverged: state '{}' holds NaN or Inf before epoch {}{}", name,
                    epoch + 1, writer == nullptr ? "" : ", written by " + described(*writer)),
        writer == nullptr ? Location{} : writer->where, ExitCode::run_failed);
  }
}

void Run::replay(SideRun& side, int64_t epoch, int64_t steps) {
  side.begin(epoch, time_of(epoch, 0), steps);
  for (int64_t step = 0; step < steps; ++step) {
    side.step(*store_);
    const Node* bad = side.first_bad_node();
    if (bad == nullptr) continue;
    throw Diverged(
        fmt::format("the run has diverged: {} gives NaN or Inf at epoch {}, step {} of {}",
                    described(*bad), epoch + 1, step + 1, steps_of_epoch(side.graphs())),
        bad->where, ExitCode::run_failed);
  }
}

void Run::fail_training(int64_t epoch, int64_t step) {
  store_ = backend_.make_store();
  train_->create_states(*store_);
  if (test_) test_->create_states(*store_);
  int64_t from = 0;
  if (!options_.checkpoints.empty() && checkpoints_.restore(*store_, {}, epoch)) from = epoch;
  check_states(from);
  train_->check_finite();
  for (int64_t e = from; e < epoch; ++e) replay(*train_, e, steps_of(e));
  replay(*train_, epoch, step + 1);
  throw Error(fmt::format("a metric is NaN or Inf at epoch {}, step {} of {}", epoch + 1, step + 1,
                          steps_of_epoch(train_->graphs())),
              {}, ExitCode::run_failed)
      .note("it is finite when the same steps are run again: the machine's memory may be at fault");
}

void Run::fail_evaluation(int64_t epoch, int64_t step) {
  check_states(epoch + 1);
  test_->check_finite();
  replay(*test_, epoch, step + 1);
  throw Error(fmt::format("a metric of the test is NaN or Inf after epoch {}", epoch + 1), {},
              ExitCode::run_failed);
}

}  // namespace

RunRecord run_pipeline(const FlatSpec& spec, const Backend& backend, OpenDatasets& datasets, Fs& fs,
                       const RunOptions& options) {
  return Run(spec, backend, datasets, fs, options).go();
}

std::optional<RunRecord> evaluate_trained(const FlatSpec& spec, const Backend& backend,
                                          OpenDatasets& datasets, Fs& fs, const RunOptions& options,
                                          const TrainedRun& trained) {
  return Run(spec, backend, datasets, fs, options).evaluate_trained(trained);
}

}  // namespace expgraph
