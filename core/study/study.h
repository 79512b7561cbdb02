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
  int threads = 0;
  DataOptions data;
  bool fresh = false;      ///< forgets what these runs have done before
  bool fail_fast = false;  ///< the first failed run ends the study
  bool explain = false;    ///< says why each run is due
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

/// Checks every variant first, then runs all that is due: seed by seed, the variants of one seed
/// after each other. Finished runs are reused, begun ones go on; a failed one is told and the
/// others go on. At the end, and when interrupted, writes `runs/<study>/`: study.json, table.md,
/// table.tsv, table.json.
/// Errors: of the variants, of data that is missing, of files that cannot be written.
StudyOutcome run_study(const Study& study, Fs& fs, const StudyRunOptions& options);

/// What `runs/<study>/` holds, by its study.json; no backend and no data is needed. Error
/// (environment) when there is none.
StudyResult load_study(Fs& fs, const std::filesystem::path& folder);

/// Attributes of `train` and of the nodes directly in it, one list a variant, names without
/// "train/": "epochs", "batch.size". Only those that differ between variants.
std::vector<std::vector<std::pair<std::string, std::string>>> settings_of(
    const std::vector<Variant>& variants);

}  // namespace expgraph
