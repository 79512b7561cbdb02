// cuda_run_test: whole runs on a device, where steps go on while the host does other things: as on
// reference, to the bit again and again, and what diverges is named. On a GPU where there is one,
// else with runs that an emulation does late.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>

#include "core/train/runner.h"
#include "tests/support/cuda_module.h"
#include "tests/support/tiny_pipeline.h"

using namespace expgraph;
using namespace expgraph::test;

namespace {

OpenDatasets& datasets() {
  static const TestFolder cache;
  static OpenDatasets opened({.path = "", .cache = cache.path.string(), .progress = {}});
  return opened;
}

RunRecord train(const std::string& values, const std::string& backend, RunOptions options = {}) {
  options.threads = 1;
  return run_pipeline(tiny_spec(values), load_backend(backend), datasets(), system_fs(), options);
}

/// Of all epochs, end to end.
std::vector<double> metrics_of(const RunRecord& record) {
  std::vector<double> metrics;
  for (const EpochRecord& row : record.history)
    metrics.insert(metrics.end(), row.metrics.begin(), row.metrics.end());
  return metrics;
}

std::string message_of(const std::string& values, const std::string& backend) {
  try {
    train(values, backend);
  } catch (const Diverged& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("a run on a device has the metrics of reference, and the same bits again") {
  if (no_cuda_module()) return;
  for (const char* values : {"", "batch: 8, test_batch: 24", "batch: 7, test_batch: 5"}) {
    const std::vector<double> want = metrics_of(train(values, "reference"));
    const std::vector<double> got = metrics_of(train(values, "libtorch"));
    REQUIRE(got.size() == want.size());
    for (size_t k = 0; k < want.size(); ++k)
      CHECK_MESSAGE(std::abs(got[k] - want[k]) <= 1e-3 * std::abs(want[k]), values, " ", k);
    CHECK(metrics_of(train(values, "libtorch")) == got);
  }
}

TEST_CASE("a run on a device that is stopped goes on to the same bits") {
  if (no_cuda_module()) return;
  const std::vector<double> whole = metrics_of(train("", "libtorch"));
  const TestFolder folder;
  std::atomic<bool> stop = false;
  RunOptions options{.checkpoints = folder.path.string(), .stop = &stop};
  options.observer.step = [&](const StepReport& report) { stop = report.step == 5; };
  CHECK_THROWS_AS(train("", "libtorch", options), Error);
  options.observer.step = {};
  stop = false;
  CHECK(metrics_of(train("", "libtorch", options)) == whole);
}

TEST_CASE("what a step loses is known on the host at once, of a device at the end of the epoch") {
  if (no_cuda_module()) return;
  for (const char* backend : {"reference", "libtorch"}) {
    int steps = 0, losses = 0;
    RunOptions options;
    options.observer.step = [&](const StepReport& report) {
      ++steps;
      losses += report.loss.has_value();
    };
    train("epochs: 1", backend, options);
    CHECK(steps == 3);
    CHECK(losses == (std::string(backend) == "reference" ? 3 : 0));
  }
}

TEST_CASE("a run on a device that diverges names the epoch and the step of reference") {
  if (no_cuda_module()) return;
  // The node may be another: in fp32 a variance overflows that does not in double.
  const auto place = [](const std::string& message) {
    const size_t at = message.find(" gives NaN or Inf");
    return at == std::string::npos ? message : message.substr(at);
  };
  for (const char* values : {"epochs: 4, peak_lr: 1e20", "epochs: 4, peak_lr: 1e20, batch: 8",
                             "batch: 40, peak_lr: 1e39"}) {
    const std::string message = message_of(values, "libtorch");
    CHECK(message.starts_with("the run has diverged: "));
    CHECK(place(message) == place(message_of(values, "reference")));
  }
}
