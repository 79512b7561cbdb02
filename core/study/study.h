// study: variants and seeds -> runs, their results, and the table in the run store.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "core/data/dataset.h"
#include "core/spec/study_spec.h"
#include "core/study/result.h"
#include "core/study/run_store.h"
#include "core/train/runner.h"

namespace expgraph {

struct StudyRunOptions {
  std::string runs = "runs";  ///< folder of all studies
  std::string backend = "onednn";
  std::string command;  ///< as typed, for the records
  int threads = 0;      ///< of a run; 0: all cores, shared out among the jobs
  int jobs = 1;         ///< runs side by side
  bool timed = true;    ///< a run has the device for itself; Error (usage) with more than one job
  DataOptions data;
  bool fresh = false;       ///< forgets what these runs have done before
  bool fail_fast = false;   ///< the first failed run ends the study
  bool keep_going = false;  ///< a run that ends by an error of any kind does not stop the others
  int retries = 0;          ///< of a run that fails, unless it has diverged
  /// Seconds, 0: no end. Runs that tell most come first (budget.h); one that by the calibration of
  /// this machine would not end in time is left out and told. Without a calibration: Error.
  double budget = 0;
  bool explain = false;  ///< says why each run is due
  const std::atomic<bool>* stop = nullptr;
  /// A run begins: "3/26 batch_size seed 0".
  std::function<void(const std::string& title)> start;
  RunObserver observer;
  /// Drawings for a run's folder. May be empty.
  std::function<std::vector<RunFile>(const Variant&)> draw;
};

struct StudyOutcome {
  StudyResult result;
  int failed = 0;
  bool interrupted = false;
  std::vector<std::string> unmet;  ///< expectations that do not hold

  /// interrupted, run_failed, expectation or done, in this order.
  ExitCode code() const;
};

/// Checks every variant first, and tells which are no-ops; then runs all that is due: seed by seed,
/// the variants of one seed after each other. What is finished, here or elsewhere in the store, is
/// reused; a run that differs from a finished one in its evaluation alone takes its weights; begun
/// ones go on; a failed one is told and the others go on. At the end, when interrupted, and now
/// and then writes `runs/<study>/`: study.json, table.md, table.tsv, table.json, with all variants
/// and seeds that are finished, asked for or not.
/// Errors: of the variants, of data that is missing, of files that cannot be written.
StudyOutcome run_study(const Study& study, Fs& fs, const StudyRunOptions& options);

/// What `runs/<study>/` holds, by its study.json; no backend and no data is needed. Error
/// (environment) when there is none.
StudyResult load_study(Fs& fs, const std::filesystem::path& folder);

}  // namespace expgraph
