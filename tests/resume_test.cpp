// resume_test: studies that are cut off at any point, by a fault of the disk or by SIGKILL, and go
// on to the same bits.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "core/support/hash.h"
#include "core/support/philox.h"
#include "tests/support/fast_fs.h"
#include "tests/support/faulty_fs.h"
#include "tests/support/tiny_study.h"

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

namespace {

constexpr int kKills = 20;

/// The program as a user starts it, with a cache of its own.
pid_t start(const TestFolder& folder, const fs::path& cache, const std::string& runs) {
  std::fflush(nullptr);  // or the child writes what is buffered a second time
  const pid_t child = fork();
  if (child != 0) return child;
  setenv("XDG_CACHE_HOME", cache.c_str(), 1);
  const fs::path program = fs::path(EXPGRAPH_BINARY_DIR) / "bin/expgraph";
  const fs::path log = folder.path / "log";
  if (std::freopen(log.c_str(), "w", stdout) == nullptr) _exit(125);
  if (std::freopen(log.c_str(), "a", stderr) == nullptr) _exit(125);
  const std::string file = (folder.path / "tiny.yaml").string();
  execl(program.c_str(), "expgraph", "run", file.c_str(), "--backend", "reference", "--threads",
        "1", "--runs", (folder.path / runs).c_str(), static_cast<char*>(nullptr));
  _exit(126);
}

int wait_for(pid_t child) {
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return status;
}

/// All that must not depend on how often the run was killed.
std::string result_of(const fs::path& runs) {
  const StudyResult result = load_study(system_fs(), runs / "tiny");
  const SeedResult& run = result.variants.at(0).runs.at(0);
  const fs::path newest =
      runs / "tiny" / run.folder / fmt::format("checkpoints/epoch-{:04}", run.record->epochs);
  return metrics_of(result) + file_hash(newest / "states.safetensors");
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

TEST_CASE("killed at random moments and started again, a run ends with the same bits: 20 of 20") {
  const TestFolder folder;
  const fs::path cache = folder.path / "cache";
  std::string pipeline = kTinyPipeline;
  pipeline.replace(pipeline.find("epochs: 3"), 9, "epochs: 6");
  std::ofstream(folder.path / "tiny.yaml") << pipeline;
  REQUIRE(wait_for(start(folder, cache, "never")) == 0);  // also fills the cache
  fs::remove_all(folder.path / "never");
  const auto begin = std::chrono::steady_clock::now();
  REQUIRE(wait_for(start(folder, cache, "never")) == 0);
  const double whole = seconds_since(begin);
  const std::string expected = result_of(folder.path / "never");

  PhiloxStream random({20, 1}, 0);
  int killed = 0;
  int same = 0;
  for (int trial = 0; trial < kKills; ++trial) {
    const std::string runs = fmt::format("killed{}", trial);
    for (bool done = false; !done;) {
      // Between a tenth and nine tenths of a whole run: killed once or several times.
      const double moment = whole * (0.1 + 0.8 * random.next() / 4294967296.0);
      const pid_t child = start(folder, cache, runs);
      std::this_thread::sleep_for(std::chrono::duration<double>(moment));
      kill(child, SIGKILL);
      const int status = wait_for(child);
      const bool was_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
      REQUIRE((was_killed || status == 0));
      killed += was_killed ? 1 : 0;
      done = !was_killed;
      if (was_killed && random.next() % 2 == 0) {
        REQUIRE(wait_for(start(folder, cache, runs)) == 0);
        done = true;
      }
    }
    same += result_of(folder.path / runs) == expected ? 1 : 0;
  }
  CHECK(same == kKills);
  CHECK(killed >= kKills / 2);
}
