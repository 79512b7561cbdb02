// resume_test: studies that are cut off at any point, by a fault of the disk or by SIGKILL, and go
// on to the same bits.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "core/support/faulty_fs.h"
#include "core/support/hash.h"
#include "core/support/philox.h"
#include "tests/fast_fs.h"
#include "tests/tiny_study.h"

using namespace expgraph;
namespace fs = std::filesystem;

TEST_CASE("after a fault at any write the study goes on to the same bits") {
  const Study study = tiny_study({{"a", "epochs: 2, batch: 40"}}, 1);
  std::vector<std::string> notes;
  const TestFolder undisturbed;
  const std::string expected =
      metrics_of(run_study(study, system_fs(), options_in(undisturbed, notes)).result);
  for (const auto fault : {FaultyFs::Fault::error, FaultyFs::Fault::crash}) {
    int64_t tried = 0;
    for (bool complete = false; !complete; ++tried) {
      const TestFolder folder;
      FastFs fast;
      FaultyFs faulty(fast, tried + 1, fault);
      try {
        run_study(study, faulty, options_in(folder, notes));
        complete = true;
      } catch (const Error& error) {
        CHECK(error.code() == ExitCode::environment);
      }
      const StudyOutcome outcome = run_study(study, fast, options_in(folder, notes));
      CHECK(metrics_of(outcome.result) == expected);
      CHECK(metrics_of(load_study(fast, folder.path / "tiny")) == expected);
    }
    CHECK(tried > 40);
  }
}
