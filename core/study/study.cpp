// study: variants and seeds -> runs, their results, and the table in the run store.
#include "core/study/study.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <set>

#include "core/backend.h"
#include "core/choose_precision.h"
#include "core/precision_of.h"
#include "core/study/budget.h"
#include "core/study/calibration.h"
#include "core/study/code_version.h"
#include "core/study/expectations.h"
#include "core/study/jobs.h"
#include "core/study/machine.h"
#include "core/study/study_file.h"
#include "core/study/study_plan.h"
#include "core/study/table.h"
#include "core/support/processors.h"
#include "core/train/progress.h"

namespace expgraph {
namespace {

constexpr double kSecondsBetweenTables = 5;

/// What is known of a variant before it runs.
struct Prepared {
  std::string spec;  ///< canonical YAML
  std::string precision;
  std::string graph;   ///< text of the training step
  double seconds = 0;  ///< predicted, when there is a budget
};

/// One seed of one variant.
struct Task {
  size_t variant = 0;
  int64_t seed = 0;
  auto operator<=>(const Task&) const = default;
};

class StudyRun {
 public:
  StudyRun(const Study& study, Fs& fs, const StudyRunOptions& options)
      : study_(study),
        fs_(fs),
        options_(options),
        threads_(options.threads > 0 ? options.threads
                                     : std::max(1, default_threads() / options.jobs)),
        folder_(study_folder(options.runs, study.name)),
        backend_(load_backend(options.backend)),
        on_device_(backend_.device() == "cpu" ? "" : " on " + backend_.device()),
        datasets_(options.data),
        index_(fs, options.runs),
        prepared_samples_(machine_memory() / 4) {
    if (options.jobs > 1 && options.timed) {
      throw Error(
          fmt::format("{} jobs share one device, so their times would mean nothing", options.jobs),
          {}, ExitCode::usage)
          .note("--untimed runs them without a clock");
    }
    if (options.budget > 0) {
      costs_ = read_calibration(fs, options.backend, threads_).model;
      budget_.emplace(options.budget);
    }
  }

  StudyOutcome go() {
    prepare_all();
    sharing_ = find_sharing(identities_);
    for (const std::string& line : sharing_lines(sharing_, variants_)) note(line);
    settings_ = settings_of(variants_);
    try {
      run_all();
    } catch (const Error& error) {
      if (error.code() != ExitCode::interrupted) throw;
      note(error.what());
      outcome_.interrupted = true;
    }
    if (!left_out_.empty()) {
      note(fmt::format("the budget leaves out {} of {} runs: {}", left_out_.size(),
                       asked_.size() * size_t(study_.seeds), fmt::join(left_out_, ", ")));
    }
    outcome_.result = collect();
    write_study(fs_, folder_, outcome_.result);
    outcome_.unmet = unmet_expectations(study_, outcome_.result);
    return std::move(outcome_);
  }

 private:
  void note(const std::string& text) const {
    if (options_.observer.note) options_.observer.note(text);
  }

  void prepare(const Variant& variant) {
    try {
      const OpenPipeline open =
          open_pipeline(variant.spec, {.backend = options_.backend}, datasets_);
      const auto& test = open.compiled.test;
      check_expectations(variant, open.compiled.train.graphs, test ? &test->graphs : nullptr);
      prepared_.push_back({.spec = to_yaml(variant.spec),
                           .precision = std::string(precision_name(precision_of(variant.spec))),
                           .graph = to_text(open.compiled.train.step.graph),
                           .seconds = costs_ ? predicted_seconds(open.compiled, *costs_) : 0});
      identities_.push_back({.program = identify(open.compiled),
                             .data = open.train->identity,
                             .test_data = open.test == nullptr ? "" : open.test->identity});
    } catch (Error& error) {
      if (study_.variants.size() == 1) throw;
      throw error.note(fmt::format("in variant '{}'", variant.name), variant.where);
    }
  }

  /// Where `precision` is auto, what the first of these variants is fastest in: the others are to
  /// differ from it in their edits alone.
  Variant in_chosen_precision(Variant variant) {
    if (!is_precision_auto(variant.spec)) return variant;
    if (!precision_) {
      precision_ = choose_precision(variant.spec, backend_, threads_);
      note(fmt::format("precision auto: {}; '{}': {}", precision_->name, variant.name,
                       precision_->text));
    }
    variant.spec = in_precision(std::move(variant.spec), precision_->name);
    return variant;
  }

  /// In the order of the file. Variants that were not asked for keep their place in the tables;
  /// one that is wrong, or whose data is missing, has none.
  void prepare_all() {
    std::vector<std::pair<const Variant*, bool>> all;
    for (const Variant& variant : study_.variants) all.emplace_back(&variant, true);
    for (const Variant& variant : study_.others) all.emplace_back(&variant, false);
    const auto place = [&](const Variant& variant) {
      return std::find(study_.order.begin(), study_.order.end(), variant.name);
    };
    std::stable_sort(all.begin(), all.end(), [&](const auto& a, const auto& b) {
      return place(*a.first) < place(*b.first);
    });
    for (const auto& [given, asked] : all) {
      const Variant variant = in_chosen_precision(*given);
      try {
        prepare(variant);
      } catch (const Error&) {
        if (asked) throw;
        continue;
      }
      variants_.push_back(variant);
      if (asked) asked_.push_back(variants_.size() - 1);
    }
  }

  RunIdentity identity_of(const Task& task) const {
    const VariantIdentity& own = identities_[task.variant];
    return {.program = own.program.training,
            .evaluation = own.program.evaluation,
            .data = own.data,
            .test_data = own.test_data,
            .seed = task.seed,
            .backend = options_.backend + on_device_,
            .precision = prepared_[task.variant].precision,
            .code = code_version(options_.backend),
            .threads = threads_};
  }

  std::string title_of(const Task& task) const {
    return fmt::format("{} seed {}", variants_[task.variant].name, task.seed);
  }

  // Running.

  void run_all() {
    if (budget_) {
      std::vector<double> seconds;
      for (const Prepared& prepared : prepared_) seconds.push_back(prepared.seconds);
      asked_ = informative_order(variants_, asked_, seconds);
    }
    std::vector<Job> jobs;
    for (int64_t seed = 0; seed < study_.seeds; ++seed) {
      for (const size_t k : asked_) {
        const Task task{k, seed};
        // Runs with equal weights one after the other: the second takes them from the first.
        jobs.push_back({.group = identity_of(task).training_key(),
                        .work = [this, task] { return run(task); }});
      }
    }
    run_jobs(std::move(jobs), options_.jobs);
  }

  /// False when nothing is to be run after it.
  bool run(const Task& task) {
    if (options_.stop != nullptr && *options_.stop) {
      throw Error("interrupted", {}, ExitCode::interrupted);
    }
    SeedResult result{.seed = task.seed, .machine = machine_name() + on_device_};
    try {
      finish(task, result);
    } catch (const Error& error) {
      const bool of_run = error.code() == ExitCode::run_failed;
      if (error.code() == ExitCode::interrupted || (!of_run && !options_.keep_going)) {
        keep(task, std::move(result));
        throw;
      }
      fail(task, result, error);
    } catch (const std::exception& error) {  // out of memory, an error of a library
      if (!options_.keep_going) throw;
      fail(task, result, Error(error.what(), {}, ExitCode::run_failed));
    }
    const bool failed = !result.error.empty();
    if (result.record || failed) keep(task, std::move(result));
    return !failed || !options_.fail_fast;
  }

  void fail(const Task& task, SeedResult& result, const Error& error) {
    result.error = error.what();
    const std::lock_guard lock(mutex_);
    ++outcome_.failed;
    failed_[identity_of(task).key()] = result.error;
    note(error.render());
    note(fmt::format("{} failed", title_of(task)));
  }

  /// The table on the disk follows, a little behind.
  void keep(const Task& task, SeedResult result) {
    const std::lock_guard lock(mutex_);
    const bool is_new = !result.reused;
    results_[task] = std::move(result);
    const auto now = std::chrono::steady_clock::now();
    const std::chrono::duration<double> since = now - last_write_;
    if (!is_new || since.count() < kSecondsBetweenTables) return;
    write_study(fs_, folder_, collect());
    last_write_ = now;
  }

  /// Gets the record of a task, from the cheapest place there is.
  void finish(const Task& task, SeedResult& result) {
    const RunIdentity identity = identity_of(task);
    RunFolder folder(fs_, folder_, variants_[task.variant].name, identity);
    result.folder = folder.relative();
    if (options_.fresh) folder.clear();
    if (auto summary = folder.finished()) {
      explain(task, "reused, " + result.folder);
      result.reused = true;
      return take(result, std::move(*summary));
    }
    if (take_equal(task, identity, folder, result)) return;
    if (const auto error = failure_of(identity.key())) {
      throw Error(*error, {}, ExitCode::run_failed);
    }
    const std::string why = options_.fresh ? "asked for afresh" : folder.why_due();
    if (!evaluate_only(task, identity, folder, result)) {
      if (!in_budget(task)) return;
      train(task, folder, result, why);
    }
    const std::lock_guard lock(mutex_);
    made_.insert(identity.training_key());
    index_.add(folder.path(), identity);
  }

  static void take(SeedResult& result, RunSummary summary) {
    result.record = std::move(summary.record);
    result.machine = std::move(summary.machine);
    result.from = std::move(summary.from);
  }

  void explain(const Task& task, const std::string& why) {
    if (!options_.explain) return;
    const std::lock_guard lock(mutex_);
    note(fmt::format("{}: {}", title_of(task), why));
  }

  std::optional<std::string> failure_of(const std::string& key) {
    const std::lock_guard lock(mutex_);
    const auto found = failed_.find(key);
    return found == failed_.end() ? std::nullopt : std::optional(found->second);
  }

  /// Asked for afresh, only what was made since counts.
  bool may_take(const RunIdentity& identity) const {
    return !options_.fresh || made_.contains(identity.training_key());
  }

  bool in_budget(const Task& task) {
    const std::lock_guard lock(mutex_);
    const double seconds = prepared_[task.variant].seconds;
    if (!budget_ || budget_->fits(seconds)) return true;
    left_out_.push_back(
        fmt::format("{} ({})", title_of(task), duration_text(budget_->corrected(seconds))));
    return false;
  }

  /// The same run, of another variant or another study.
  bool take_equal(const Task& task, const RunIdentity& identity, RunFolder& folder,
                  SeedResult& result) {
    std::optional<RunIndex::Found> found;
    {
      const std::lock_guard lock(mutex_);
      if (may_take(identity)) found = index_.find(identity.seed, identity.key());
      if (!found) return false;
    }
    auto& [place, summary] = *found;
    if (summary.from.empty()) summary.from = index_.name_of(place);
    explain(task, "equal to " + summary.from);
    folder.begin(files_of(task), facts());
    folder.finish(summary.record, summary.machine, summary.from);
    take(result, std::move(summary));
    return true;
  }

  /// A run with the same training: its weights are evaluated.
  bool evaluate_only(const Task& task, const RunIdentity& identity, RunFolder& folder,
                     SeedResult& result) {
    if (identity.evaluation.empty()) return false;
    std::optional<RunIndex::Found> found;
    {
      const std::lock_guard lock(mutex_);
      if (may_take(identity)) found = index_.find_trained(identity.training_key());
    }
    if (!found) return false;
    const auto& [place, trained] = *found;
    const std::string from = index_.name_of(place);
    explain(task, "evaluated on the weights of " + from);
    folder.begin(files_of(task), facts());
    begin(task);
    result.record = evaluate_trained(variants_[task.variant].spec, backend_, datasets_, fs_,
                                     run_options(task, folder),
                                     {trained.record, (place / "checkpoints").string()});
    if (!result.record) return false;
    result.machine = trained.machine;
    result.from = from;
    folder.finish(*result.record, result.machine, from);
    return true;
  }

  void train(const Task& task, RunFolder& folder, SeedResult& result, const std::string& why) {
    explain(task, "due, " + why);
    folder.begin(files_of(task), facts());
    begin(task);
    const auto start = std::chrono::steady_clock::now();
    for (int attempt = 0;; ++attempt) {
      try {
        result.record = run_pipeline(variants_[task.variant].spec, backend_, datasets_, fs_,
                                     run_options(task, folder));
        folder.finish(*result.record, result.machine);
        return spend(task, start);
      } catch (const Diverged&) {
        throw;  // it would again
      } catch (const Error& error) {
        if (error.code() == ExitCode::interrupted || attempt == options_.retries) throw;
        tell_retry(task, attempt + 1, error.what());
      } catch (const std::exception& error) {
        if (attempt == options_.retries) throw;
        tell_retry(task, attempt + 1, error.what());
      }
    }
  }

  void spend(const Task& task, std::chrono::steady_clock::time_point start) {
    if (!budget_) return;
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    const std::lock_guard lock(mutex_);
    budget_->add(prepared_[task.variant].seconds, taken.count());
  }

  void tell_retry(const Task& task, int attempt, const std::string& why) {
    const std::lock_guard lock(mutex_);
    note(fmt::format("{}: {}; retry {} of {}", title_of(task), why, attempt, options_.retries));
  }

  void begin(const Task& task) {
    const std::lock_guard lock(mutex_);
    if (!options_.start) return;
    const auto place = std::find(asked_.begin(), asked_.end(), task.variant) - asked_.begin();
    const auto count = static_cast<int64_t>(asked_.size());
    options_.start(fmt::format("{}/{} {}", task.seed * count + place + 1, count * study_.seeds,
                               title_of(task)));
  }

  RunOptions run_options(const Task& task, RunFolder& folder) {
    RunOptions options{.seed = static_cast<uint64_t>(task.seed),
                       .timed = options_.timed,
                       .prepared = &prepared_samples_,
                       .threads = threads_,
                       .checkpoints = folder.checkpoints().string(),
                       .stop = options_.stop,
                       .observer = options_.observer};
    const bool alone = options_.jobs == 1;
    if (!alone) options.observer.step = nullptr;  // one bar cannot show several runs
    options.observer.note = [this](const std::string& text) {
      const std::lock_guard lock(mutex_);
      note(text);
    };
    options.observer.epoch = [this, task, &folder, alone](const RunRecord& record) {
      folder.write_epoch(record);
      const std::lock_guard lock(mutex_);
      if (!alone) return note(fmt::format("{}  {}", title_of(task), epoch_line(record)));
      if (options_.observer.epoch) options_.observer.epoch(record);
    };
    return options;
  }

  std::vector<RunFile> files_of(const Task& task) {
    const Variant& variant = variants_[task.variant];
    const Prepared& prepared = prepared_[task.variant];
    std::string spec =
        fmt::format("# study {}, variant {}, seed {}\n", study_.name, variant.name, task.seed);
    if (!options_.command.empty()) spec += fmt::format("# made by: {}\n", options_.command);
    std::vector<RunFile> files = {{"spec.yaml", spec + prepared.spec},
                                  {"graph.txt", prepared.graph}};
    const std::lock_guard lock(mutex_);
    if (options_.draw) {
      for (RunFile& file : options_.draw(variant)) files.push_back(std::move(file));
    }
    return files;
  }

  std::vector<std::pair<std::string, std::string>> facts() const {
    auto out = machine_facts();
    out.emplace_back("backend", backend_.describe());
    return out;
  }

  // Results.

  /// All that is finished or was tried, in the order of the study's file.
  StudyResult collect() {
    StudyResult out{.study = study_.name,
                    .note = study_.note,
                    .profile = study_.profile,
                    .backend = options_.backend,
                    .command = options_.command,
                    .target = study_.target ? study_.target->str() : "",
                    .attribution = study_.attribution,
                    .variants = {}};
    for (size_t k = 0; k < variants_.size(); ++k) {
      VariantResult variant = describe(k);
      add_runs(k, variant);
      const bool asked = std::find(asked_.begin(), asked_.end(), k) != asked_.end();
      if (asked || !variant.runs.empty()) out.variants.push_back(std::move(variant));
    }
    return out;
  }

  VariantResult describe(size_t k) const {
    const Variant& variant = variants_[k];
    const size_t same = sharing_[k].same_as;
    return {.name = variant.name,
            .title = variant.title,
            .note = variant.note,
            .base = variant.base,
            .settings = settings_[k],
            .same_as = same == kNone ? "" : variants_[same].name,
            .coalition = variant.coalition,
            .inapplicable = variant.inapplicable,
            .runs = {}};
  }

  /// Those of this study run, then those that were finished before and not asked for.
  void add_runs(size_t k, VariantResult& variant) {
    for (const auto& [task, result] : results_) {
      if (task.variant == k) variant.runs.push_back(result);
    }
    const auto place = variant_folder(folder_, variant.name);
    const auto key_of = [&](int64_t seed) { return identity_of({k, seed}).key(); };
    for (const int64_t seed : index_.seeds_of(place, key_of)) {
      if (results_.contains({k, seed})) continue;
      const std::string name = fmt::format("{}-{}", seed, key_of(seed));
      SeedResult run{.seed = seed,
                     .folder = (place / name).lexically_relative(folder_).string(),
                     .reused = true};
      auto summary = read_summary(fs_, place / name);
      if (!summary) continue;
      take(run, std::move(*summary));
      variant.runs.push_back(std::move(run));
    }
    std::stable_sort(variant.runs.begin(), variant.runs.end(),
                     [](const SeedResult& a, const SeedResult& b) { return a.seed < b.seed; });
  }

  const Study& study_;
  Fs& fs_;
  const StudyRunOptions& options_;
  int threads_;
  std::filesystem::path folder_;
  const Backend& backend_;
  std::string on_device_;  ///< "" on the CPU, else " on NAME": another device is another run
  OpenDatasets datasets_;
  RunIndex index_;
  PreparedSamples prepared_samples_;
  std::vector<Variant> variants_;  ///< in the order of the file
  std::vector<size_t> asked_;      ///< those to run
  std::vector<Prepared> prepared_;
  std::vector<VariantIdentity> identities_;
  std::vector<Sharing> sharing_;
  std::vector<std::vector<std::pair<std::string, std::string>>> settings_;
  std::optional<CostModel> costs_;  ///< when there is a budget

  std::mutex mutex_;  ///< guards what follows, the index and the callbacks
  std::map<Task, SeedResult> results_;
  std::map<std::string, std::string> failed_;  ///< by key: why
  std::set<std::string> made_;                 ///< training keys of this study run
  std::chrono::steady_clock::time_point last_write_ = std::chrono::steady_clock::now();
  std::optional<PrecisionChoice> precision_;
  std::optional<Budget> budget_;
  std::vector<std::string> left_out_;  ///< runs that it has no time for
  StudyOutcome outcome_;
};

}  // namespace

ExitCode StudyOutcome::code() const {
  if (interrupted) return ExitCode::interrupted;
  if (failed > 0) return ExitCode::run_failed;
  return unmet.empty() ? ExitCode::done : ExitCode::expectation;
}

StudyOutcome run_study(const Study& study, Fs& fs, const StudyRunOptions& options) {
  return StudyRun(study, fs, options).go();
}

}  // namespace expgraph
