// calibrate: pipelines -> rates of this machine, from which plans and budgets predict times.
#include <fmt/ostream.h>

#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "core/study/calibration.h"

namespace expgraph {
namespace {

struct Arguments {
  StudyArguments study;
  std::string backend = "onednn";
  CalibrateOptions options;
};

ExitCode run_calibrate(Arguments arguments, Streams& streams) {
  const Study study = read_study(arguments.study);
  arguments.options.step = [&](const TimedStep& step) {
    fmt::print(streams.err, "{}: {:.2f} ms\n", step.name, step.seconds * 1e3);
  };
  const Calibration calibration =
      calibrate(study.variants, load_backend(arguments.backend), arguments.options);
  write_calibration(system_fs(), calibration);
  fmt::print(streams.out, "{}\n", calibration_text(calibration));
  return ExitCode::done;
}

}  // namespace

Action add_calibrate(CLI::App& app, Streams& streams) {
  const auto arguments = std::make_shared<Arguments>();
  add_study_arguments(app, arguments->study);
  app.add_option("--backend", arguments->backend, "onednn (default), libtorch or reference")
      ->type_name("NAME");
  app.add_option("--threads", arguments->options.threads, "threads of a step (default: all)")
      ->type_name("N")
      ->check(CLI::Range(0, 1024));
  app.add_option("--steps", arguments->options.steps, "steps that are timed (default: 12)")
      ->type_name("N")
      ->check(CLI::Range(1, 1000));
  return [arguments, &streams] { return run_calibrate(*arguments, streams); };
}

}  // namespace expgraph
