// resume_test: studies that are cut off at any point, by a fault of the disk or by SIGKILL, and go
// on to the same bits.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "core/study/table.h"
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
pid_t start(const TestFolder& folder, const fs::path& cache, const std::string& runs,
            const char* study = "tiny.yaml") {
  std::fflush(nullptr);  // or the child writes what is buffered a second time
  const pid_t child = fork();
  if (child != 0) return child;
  setenv("XDG_CACHE_HOME", cache.c_str(), 1);
  const fs::path program = fs::path(EXPGRAPH_BINARY_DIR) / "bin/expgraph";
  const fs::path log = folder.path / "log";
  if (std::freopen(log.c_str(), "w", stdout) == nullptr) _exit(125);
  if (std::freopen(log.c_str(), "a", stderr) == nullptr) _exit(125);
  const std::string file = (folder.path / study).string();
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

namespace {

/// 8 variants (one a no-op, one that differs in its evaluation) with 5 seeds.
constexpr const char* kForty = R"(study: forty
pipeline: tiny.yaml
seeds: 5
params: {epochs: 1}
list:
  - variant: base
  - variant: same
    edits: [{set: {train/update.momentum: 0.9}}]
  - variant: tested
    edits: [{set: {test/batch.size: 12}}]
  - variant: batch
    edits: [{set: {train/batch.size: 20}}]
  - variant: plain
    edits: [{set: {train/update.nesterov: false}}]
  - variant: still
    edits: [{remove: train/crop}, {remove: train/pad}]
  - variant: decay
    edits: [{set: {train/update.weight_decay: 1e-3}}]
  - variant: longer
    edits: [{set: {train.epochs: 2}}]
)";

/// Lines of a table without what clocks say.
std::string table_of(const fs::path& runs) {
  const StudyResult result = load_study(system_fs(), runs / "forty");
  const Table table = make_table(result);
  std::string out;
  for (const TableRow& row : table.rows) {
    out += fmt::format("{} {} {} {} {}", row.name, row.same_as, row.metric.n, row.metric.mean,
                       row.metric.deviation);
    if (row.change) out += fmt::format(" {} {}", row.change->mean, row.change->holm.value_or(-1));
    out += "\n";
  }
  return out;
}

/// Finished runs below a folder, by "variant/seed-key".
std::vector<std::string> finished_in(const fs::path& study) {
  std::vector<std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(study)) {
    if (entry.path().filename() != "summary.json") continue;
    out.push_back(entry.path().parent_path().lexically_relative(study).string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

TEST_CASE("a study of 40 runs, killed at 30 moments: every run once, and the same table") {
  constexpr int kMoments = 30;
  const TestFolder folder;
  const fs::path cache = folder.path / "cache";
  std::ofstream(folder.path / "tiny.yaml") << kTinyPipeline;
  std::ofstream(folder.path / "forty.yaml") << kForty;
  const auto go = [&](const std::string& runs) { return start(folder, cache, runs, "forty.yaml"); };
  REQUIRE(wait_for(go("never")) == 0);  // also fills the cache
  fs::remove_all(folder.path / "never");
  const auto begin = std::chrono::steady_clock::now();
  REQUIRE(wait_for(go("never")) == 0);
  const double whole = seconds_since(begin);
  const std::string expected = table_of(folder.path / "never");
  const std::vector<std::string> runs = finished_in(folder.path / "never/forty");
  REQUIRE(runs.size() == 40);

  PhiloxStream random({40, 1}, 0);
  int killed = 0;
  for (int moment = 0; moment < kMoments; ++moment) {
    const pid_t child = go("killed");
    std::this_thread::sleep_for(
        std::chrono::duration<double>(whole * random.next() / 4294967296.0));
    kill(child, SIGKILL);
    const int status = wait_for(child);
    const bool was_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    REQUIRE((was_killed || status == 0));
    killed += was_killed ? 1 : 0;
    // Killed early and late, and every third time from the start.
    if (moment % 3 == 2 && moment + 1 < kMoments) fs::remove_all(folder.path / "killed");
  }
  REQUIRE(wait_for(go("killed")) == 0);
  CHECK(table_of(folder.path / "killed") == expected);
  CHECK(finished_in(folder.path / "killed/forty") == runs);
  CHECK(killed >= kMoments / 3);
  // What is finished is not run again.
  const auto before = fs::last_write_time(folder.path / "killed/forty" / runs[0] / "summary.json");
  REQUIRE(wait_for(go("killed")) == 0);
  CHECK(fs::last_write_time(folder.path / "killed/forty" / runs[0] / "summary.json") == before);
}
