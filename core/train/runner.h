// runner: a pipeline, a seed and a backend -> a trained net and the record of how it was trained.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>

#include "core/backend.h"
#include "core/support/fs.h"
#include "core/train/open_pipeline.h"
#include "core/train/prepared.h"
#include "core/train/progress.h"
#include "core/train/record.h"

namespace expgraph {

/// What a run tells while it goes on; each may be empty.
struct RunObserver {
  std::function<void(const StepReport&)> step;
  std::function<void(const RunRecord&)> epoch;  ///< after its checkpoint
  std::function<void(const std::string&)> note;
};

/// A run that has ended, and where its checkpoints lie.
struct TrainedRun {
  RunRecord record;
  std::string checkpoints;
};

struct RunOptions {
  uint64_t seed = 0;
  bool timed = true;                        ///< nothing else runs on the device meanwhile
  PreparedSamples* prepared = nullptr;      ///< shared with other runs; may be null
  int threads = 0;                          ///< 0: all that the process may use
  std::string checkpoints;                  ///< folder; "" = none are read or written
  const std::atomic<bool>* stop = nullptr;  ///< looked at before every step
  RunObserver observer;
};

/// A metric, a value or a state is NaN or Inf, and is so when the same steps are run again.
class Diverged : public Error {
 public:
  using Error::Error;
};

/// Trains and evaluates, from the newest whole checkpoint or from the start; the result does not
/// depend on where it was stopped before, to the bit.
/// Errors: run_failed when a metric is NaN or Inf, naming the first bad node; interrupted when
/// asked to stop; those of compiling and of opening data. Of a Diverged it is proved that the same
/// steps diverge each time.
RunRecord run_pipeline(const FlatSpec& spec, const Backend& backend, OpenDatasets& datasets, Fs& fs,
                       const RunOptions& options);

/// The record of a run whose training is that of `trained` and whose evaluation is its own: the net
/// is evaluated once, as it is at the end. Clocks and metrics of training are those of `trained`;
/// at earlier epochs metrics of the test are NaN. None when the weights are not there any more.
std::optional<RunRecord> evaluate_trained(const FlatSpec& spec, const Backend& backend,
                                          OpenDatasets& datasets, Fs& fs, const RunOptions& options,
                                          const TrainedRun& trained);

}  // namespace expgraph
