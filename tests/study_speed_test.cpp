// study_speed_test: what studies of a thousand cost, in processor time, which a busy machine does
// not change much.
#include <doctest/doctest.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <random>

#include "core/program_cache.h"
#include "core/study/run_store.h"
#include "core/study/study_file.h"
#include "core/study/study_plan.h"
#include "core/study/table.h"
#include "tests/support/fast_fs.h"
#include "tests/support/tiny_study.h"

using namespace expgraph;

namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr double kMost = 10.0;  // seconds; instrumented code says nothing of speed
#else
constexpr double kMost = 1.0;
#endif

double processor_seconds() { return double(std::clock()) / CLOCKS_PER_SEC; }

}  // namespace

TEST_CASE("a thousand variants are read, compiled and compared in less than a second") {
  const TestFolder folder;
  std::ofstream(folder.path / "tiny.yaml") << kTinyPipeline;
  std::string study = "study: grid\npipeline: tiny.yaml\ngrid:\n";
  for (const char* attribute : {"momentum", "weight_decay"}) {
    study += fmt::format("  train/update.{}: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]\n",
                         attribute);
  }
  std::ofstream(folder.path / "grid.yaml")
      << study << "  peak_lr: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]\n";
  const double start = processor_seconds();
  const Study grid = read_study((folder.path / "grid.yaml").string(), {}, op_names());
  std::vector<VariantIdentity> identities;
  ProgramCache cache;
  for (const Variant& variant : grid.variants) {
    identities.push_back({.program = identify(compile_pipeline(variant.spec, {.cache = &cache}))});
  }
  const std::vector<Sharing> sharing = find_sharing(identities);
  const double seconds = processor_seconds() - start;
  MESSAGE("seconds: " << seconds);
  CHECK(sharing.size() == 1000);
  CHECK(std::count_if(sharing.begin(), sharing.end(),
                      [](const Sharing& own) { return own.same_as != kNone; }) == 0);
  CHECK(seconds < kMost);
}

TEST_CASE("a store of a thousand runs is read and tabulated in less than a second") {
  const TestFolder folder;
  FastFs fs;
  StudyResult result{.study = "large", .backend = "reference"};
  for (int k = 0; k < 100; ++k) {
    VariantResult variant{.name = fmt::format("v{}", k), .base = k == 0 ? "" : "v0"};
    std::mt19937_64 random(static_cast<uint64_t>(k));
    std::uniform_real_distribution<double> noise(0, 0.01);
    for (int64_t seed = 0; seed < 10; ++seed) {
      RunRecord record{.metrics = {{"train/loss", false}, {"test/accuracy", true}}, .epochs = 24};
      for (int64_t epoch = 1; epoch <= record.epochs; ++epoch) {
        record.history.push_back({epoch, 0.1, {1.0, 0.9 + noise(random)}, double(epoch), 1000});
      }
      const RunIdentity identity{.program = variant.name, .seed = seed};
      RunFolder run(fs, folder.path / "large", variant.name, identity);
      run.finish(record, "machine");
      variant.runs.push_back({.seed = seed, .folder = run.relative(), .record = record});
    }
    result.variants.push_back(std::move(variant));
  }
  write_study(fs, folder.path / "large", result);
  const double start = processor_seconds();
  const Table table = make_table(load_study(fs, folder.path / "large"));
  const std::string text = to_terminal(table, {.columns = 100});
  const double seconds = processor_seconds() - start;
  MESSAGE("seconds: " << seconds);
  CHECK(table.rows.size() == 100);
  CHECK(table.rows[99].metric.n == 10);
  CHECK(table.comparisons == 99);
  CHECK(text.find("v99") != std::string::npos);
  CHECK(seconds < kMost);
}
