// calibration: steps timed on this machine -> a file of the user's cache, from which plans and
// budgets predict.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/backend.h"
#include "core/compile.h"
#include "core/spec/study_spec.h"
#include "core/study/cost_model.h"
#include "core/support/fs.h"

namespace expgraph {

struct Calibration {
  std::string machine;  ///< machine_name()
  std::string backend;
  std::string code;  ///< code_version
  int threads = 0;
  std::string date;  ///< "2026-11-21"
  CostModel model;
  CostModelError error;
};

struct CalibrateOptions {
  int threads = 0;  ///< 0: all
  int64_t steps = 12;
  std::function<void(const TimedStep&)> step;  ///< told of each; may be empty
};

/// Times the step of each variant, at its batch and at a quarter of it; equal steps once. Minutes
/// for large nets.
/// Errors: those of bench.
Calibration calibrate(const std::vector<Variant>& variants, const Backend& backend,
                      const CalibrateOptions& options);

/// Training and its evaluation after each epoch, in seconds; what is done once before is not in it.
double predicted_seconds(const CompiledPipeline& compiled, const CostModel& model);

/// "calibration of 2026-11-21, onednn with 2 threads: relative error of a step that it has not
/// seen, median 4.1 %, worst 12.0 % (n = 38)".
std::string calibration_text(const Calibration& calibration);

/// `<cache>/calibration-<backend>-<threads>.json`.
void write_calibration(Fs& fs, const Calibration& calibration);
/// That of this machine, this code, and so many threads (0: all). Error (environment) that says how
/// to get one when there is none or it is of another machine or code.
Calibration read_calibration(Fs& fs, const std::string& backend, int threads);

}  // namespace expgraph
