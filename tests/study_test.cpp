// study_test: statistics, tables and the run store, without training.
#include "core/study/study.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/study/expectations.h"
#include "core/study/run_store.h"
#include "core/study/statistics.h"
#include "core/study/table.h"
#include "tests/support/tiny_study.h"

using namespace expgraph;
namespace fs = std::filesystem;

namespace {

RunRecord record_of(double seconds, double accuracy, int64_t parameters = 5205962) {
  RunRecord record{.metrics = {{"train/loss", false}, {"test/accuracy", true}},
                   .epochs = 2,
                   .steps = 80,
                   .parameters = parameters,
                   .macs = 556'000'000,
                   .peak_bytes = int64_t{1300} << 20,
                   .clocks = {.preprocessing = 1, .steps = seconds - 1, .validation = 3},
                   .history = {}};
  record.history.push_back({1, 0.4, {2.0, accuracy / 2}, seconds / 2, 1000});
  record.history.push_back({2, 0.0, {1.0, accuracy}, seconds, 1001.5});
  return record;
}

VariantResult variant_of(std::string name, std::string title, std::string base,
                         std::vector<std::pair<std::string, std::string>> settings,
                         std::vector<RunRecord> records) {
  VariantResult out{.name = std::move(name),
                    .title = std::move(title),
                    .note = "",
                    .base = std::move(base),
                    .settings = std::move(settings),
                    .runs = {}};
  for (size_t k = 0; k < records.size(); ++k) {
    out.runs.push_back({.seed = static_cast<int64_t>(k),
                        .folder = fmt::format("{}/{}-000000000000", out.name, k),
                        .record = records[k],
                        .machine = "machine",
                        .error = ""});
  }
  return out;
}

StudyResult ladder(bool three_seeds) {
  const auto records = [&](std::initializer_list<RunRecord> all) {
    return std::vector<RunRecord>(all.begin(), three_seeds ? all.end() : all.begin() + 1);
  };
  return {
      .study = "ladder",
      .note = "",
      .profile = "quick",
      .backend = "onednn",
      .command = "expgraph run ladder.yaml",
      .variants = {
          variant_of(
              "baseline", "baseline", "",
              {{"epochs", "2"}, {"batch.size", "128"}, {"lr.values", "[0, 0.1, 0.005, 0]"}},
              records({record_of(35.6, 0.55), record_of(35.9, 0.56), record_of(36.2, 0.57)})),
          variant_of(
              "batch_size", "batch of 512, learning rate times four times 1.1", "baseline",
              {{"epochs", "2"}, {"batch.size", "512"}, {"lr.values", "[0, 0.44, 0.02, 0]"}},
              records({record_of(25.6, 0.60), record_of(25.9, 0.62), record_of(26.5, 0.61)})),
          variant_of("merged", "repeated batch norm and ReLU merged", "batch_size",
                     {{"epochs", "2"}, {"batch.size", "512"}, {"lr.values", "[0, 0.44, 0.02, 0]"}},
                     records({record_of(5.6, 0.50, 114762), record_of(5.9, 0.52, 114762),
                              record_of(6.2, 0.49, 114762)}))}};
}

/// Compares with tests/study/<name>; with EXPGRAPH_GOLDEN_REWRITE=1 writes it.
void check_text(const std::string& name, const std::string& text) {
  const fs::path path = fs::path(EXPGRAPH_SOURCE_DIR) / "tests/study" / name;
  if (std::getenv("EXPGRAPH_GOLDEN_REWRITE") != nullptr) std::ofstream(path) << text;
  std::ostringstream expected;
  expected << std::ifstream(path).rdbuf();
  CHECK(text == expected.str());
}

Expectation expectation(std::string metric, Expectation::Kind kind, double bound = 0) {
  return {.metric = std::move(metric), .kind = kind, .bound = bound, .where = {}};
}

}  // namespace

TEST_CASE("quantiles of Student's t are those of the printed tables") {
  // Abramowitz and Stegun, table 26.10; NIST/SEMATECH handbook 1.3.6.7.2.
  CHECK(student_t_quantile(0.975, 1) == doctest::Approx(12.7062047).epsilon(1e-8));
  CHECK(student_t_quantile(0.975, 2) == doctest::Approx(4.30265273).epsilon(1e-8));
  CHECK(student_t_quantile(0.975, 4) == doctest::Approx(2.77644511).epsilon(1e-8));
  CHECK(student_t_quantile(0.95, 10) == doctest::Approx(1.81246112).epsilon(1e-8));
  CHECK(student_t_quantile(0.975, 49) == doctest::Approx(2.00957524).epsilon(1e-8));
  CHECK(student_t_quantile(0.975, 1e7) == doctest::Approx(1.95996).epsilon(1e-5));
  CHECK(student_t_quantile(0.025, 4) == doctest::Approx(-2.77644511).epsilon(1e-8));
}

TEST_CASE("means, deviations and intervals are those worked out by hand") {
  const std::vector<double> values = {94.0, 94.2, 94.1, 93.9};
  CHECK(summarise(values).mean == doctest::Approx(94.05));
  CHECK(summarise(values).deviation == doctest::Approx(0.129099445));
  CHECK(confidence_interval(values).half_width == doctest::Approx(3.18244631 * 0.0645497224));
  CHECK(summarise(std::vector<double>{7.0}).deviation == 0);
  CHECK(confidence_interval(std::vector<double>{7.0}).half_width == 0);
  CHECK(summarise({}).n == 0);
}

TEST_CASE("p of the paired t test and Holm's correction are those worked out by hand") {
  // t = 1 / (1.25 / sqrt 5), 4 degrees of freedom, sin = t / sqrt(4 + t^2) = 2/3; Abramowitz and
  // Stegun 26.7.4: p = 1 - sin * (1 + cos^2 / 2) = 4/27.
  const std::vector<double> differences = {1 - 1.58113883, 1 - 0.79056942, 1, 1.79056942,
                                           2.58113883};
  CHECK(summarise(differences).deviation == doctest::Approx(1.25).epsilon(1e-8));
  CHECK(*paired_p(differences) == doctest::Approx(4.0 / 27).epsilon(1e-8));
  CHECK(*paired_p(std::vector<double>{0, 0, 0}) == 1);
  CHECK_FALSE(paired_p(std::vector<double>{0.3 - 0.2, 0.2 - 0.1, 0.1}).has_value());
  CHECK_FALSE(paired_p(std::vector<double>{0.1}).has_value());
  // Holm (1979): 0.01 * 4, then 0.02 * 3, 0.03 * 2 is not below that, 0.04 * 1 neither.
  const std::vector<double> p = {0.03, 0.01, 0.04, 0.02};
  const std::vector<double> corrected = holm(p);
  const std::vector<double> expected = {0.06, 0.04, 0.06, 0.06};
  for (size_t k = 0; k < p.size(); ++k) CHECK(corrected[k] == doctest::Approx(expected[k]));
  CHECK(holm(std::vector<double>{0.9, 0.8}) == std::vector<double>{1, 1});
  CHECK(holm({}).empty());
}

TEST_CASE("on a terminal titles wrap, numbers are aligned and what does not fit is named") {
  check_text("terminal_one_seed.txt", to_terminal(make_table(ladder(false)), {.columns = 80}));
}

TEST_CASE("with three seeds each mean has its spread below it") {
  check_text("terminal_three_seeds.txt", to_terminal(make_table(ladder(true)), {.columns = 80}));
}

TEST_CASE("Markdown has every column that differs, and the statistic in its caption") {
  check_text("table.md", to_markdown(make_table(ladder(true))));
}

TEST_CASE("a title cannot break a row or drive the terminal") {
  StudyResult result = ladder(false);
  result.variants.resize(1);
  result.variants[0].title = "a\tb\nc\x1b[31m|d";
  CHECK(to_tsv(make_table(result)).find("baseline\ta b c [31m|d\t") != std::string::npos);
  CHECK(to_markdown(make_table(result)).find("| a b c [31m\\|d |") != std::string::npos);
  CHECK(to_terminal(make_table(result), {.columns = 80}).find('\x1b') == std::string::npos);
}

TEST_CASE("TSV has every figure, and nothing where there is none") {
  StudyResult result = ladder(true);
  result.variants[2].runs.clear();
  check_text("table.tsv", to_tsv(make_table(result)));
}

TEST_CASE("a study in which nothing is finished has a table that says so") {
  StudyResult result = ladder(false);
  result.variants.resize(1);
  result.variants[0].runs[0].record.reset();
  result.variants[0].runs[0].error = "diverged";
  check_text("nothing_finished.txt", to_terminal(make_table(result), {.columns = 60}));
}

TEST_CASE("expectations compare means over seeds with bounds and with the base") {
  using Kind = Expectation::Kind;
  const StudyResult result = ladder(true);
  const auto unmet = [&](const std::string& variant, const std::string& base,
                         Expectation expected) {
    Study study;
    study.variants.push_back({.name = variant,
                              .title = "",
                              .note = "",
                              .base = base,
                              .spec = {},
                              .changes = {},
                              .expect = {std::move(expected)},
                              .where = {}});
    const auto all = unmet_expectations(study, result);
    return all.empty() ? std::string() : all.front();
  };
  const std::string metric = "test/accuracy";
  CHECK(unmet("baseline", "", expectation(metric, Kind::at_least, 0.56)) == "");
  CHECK(unmet("baseline", "", expectation(metric, Kind::at_least, 0.57)) ==
        "baseline: test/accuracy is 0.56, expected at least 0.57");
  CHECK(unmet("baseline", "", expectation(metric, Kind::at_most, 0.5)) ==
        "baseline: test/accuracy is 0.56, expected at most 0.5");
  CHECK(unmet("batch_size", "baseline", expectation(metric, Kind::up)) == "");
  CHECK(unmet("batch_size", "baseline", expectation(metric, Kind::down)) ==
        "batch_size: test/accuracy is 0.61, expected less than the 0.56 of baseline");
  CHECK(unmet("batch_size", "baseline", expectation(metric, Kind::same)) ==
        "batch_size: test/accuracy is 0.61, expected the same as the 0.56 of baseline");
  CHECK(unmet("merged", "batch_size", expectation("parameters", Kind::down)) == "");
  CHECK(unmet("batch_size", "baseline", expectation("seconds", Kind::up)) ==
        "batch_size: seconds is 26, expected more than the 35.9 of baseline");
  CHECK(unmet("batch_size", "baseline", expectation("macs", Kind::same)) == "");
}

TEST_CASE("runs go seed by seed, are reused when finished, and made afresh when asked") {
  const TestFolder folder;
  std::vector<std::string> notes;
  StudyRunOptions options = options_in(folder, notes);
  const Study study = tiny_study({{"a", "epochs: 1"}, {"b", "epochs: 1, batch: 8"}}, 2);
  const StudyOutcome first = run_study(study, system_fs(), options);
  CHECK(first.code() == ExitCode::done);
  CHECK(notes == std::vector<std::string>{"start 1/4 a seed 0", "start 2/4 b seed 0",
                                          "start 3/4 a seed 1", "start 4/4 b seed 1"});
  notes.clear();
  options.explain = true;
  const StudyOutcome second = run_study(study, system_fs(), options);
  CHECK(metrics_of(second.result) == metrics_of(first.result));
  REQUIRE(notes.size() == 4);
  CHECK(notes[0].starts_with("a seed 0: reused, a/0-"));

  notes.clear();
  const Study changed = tiny_study({{"a", "epochs: 1, peak_lr: 0.2"}}, 1);
  run_study(changed, system_fs(), options);
  REQUIRE(notes.size() == 2);
  CHECK(notes[0].starts_with("a seed 0: due, program changed since 0-"));

  notes.clear();
  options.explain = false;
  options.fresh = true;
  const StudyOutcome third = run_study(study, system_fs(), options);
  CHECK(metrics_of(third.result) == metrics_of(first.result));
  CHECK(notes.size() == 4);
}

TEST_CASE("a run's folder has all that is needed to understand it and to run it again") {
  const TestFolder folder;
  std::vector<std::string> notes;
  StudyRunOptions options = options_in(folder, notes);
  options.draw = [](const Variant& variant) {
    return std::vector<RunFile>{{"net.svg", variant.name}};
  };
  const Study study = tiny_study({{"a", "epochs: 1"}}, 1);
  const StudyOutcome outcome = run_study(study, system_fs(), options);
  const fs::path run = folder.path / "tiny" / outcome.result.variants[0].runs[0].folder;
  for (const char* name : {"spec.yaml", "graph.txt", "metrics.tsv", "logs.tsv", "summary.json",
                           "environment.json", "net.svg", "checkpoints/epoch-0001/manifest.json"}) {
    CHECK_MESSAGE(fs::exists(run / name), name);
  }
  const std::string spec = system_fs().read(run / "spec.yaml", 1 << 20);
  CHECK(spec.starts_with("# study tiny, variant a, seed 0\n# made by: expgraph run tiny.yaml\n"));
  const FlatSpec again = expand_text(spec, "spec.yaml", ".", {}, op_names());
  CHECK(to_yaml(again) == to_yaml(study.variants[0].spec));
  const auto environment =
      nlohmann::json::parse(system_fs().read(run / "environment.json", 1 << 20));
  CHECK(environment["identity"]["backend"] == "reference");
  CHECK(environment["identity"]["data"].get<std::string>().starts_with("shapes10"));
}

TEST_CASE("the table is the same when it is read back from the run store") {
  const TestFolder folder;
  std::vector<std::string> notes;
  const Study study = tiny_study({{"a", "epochs: 1"}, {"b", "epochs: 1, batch: 8"}}, 2);
  const StudyOutcome outcome = run_study(study, system_fs(), options_in(folder, notes));
  const StudyResult loaded = load_study(system_fs(), folder.path / "tiny");
  CHECK(to_json(make_table(loaded)) == to_json(make_table(outcome.result)));
  CHECK(make_table(loaded).settings == std::vector<std::string>{"batch.size"});
  CHECK_THROWS_WITH_AS(load_study(system_fs(), folder.path / "none"),
                       doctest::Contains("there is no study in"), Error);
}

TEST_CASE("a failed run does not stop the others, unless that is asked for") {
  const TestFolder folder;
  std::vector<std::string> notes;
  StudyRunOptions options = options_in(folder, notes);
  const Study study =
      tiny_study({{"a", "epochs: 1"}, {"bad", "epochs: 1, peak_lr: 1e39"}, {"c", "epochs: 2"}}, 1);
  const StudyOutcome outcome = run_study(study, system_fs(), options);
  CHECK(outcome.code() == ExitCode::run_failed);
  CHECK(outcome.result.variants[2].runs[0].record.has_value());
  CHECK(outcome.result.variants[1].runs[0].error.starts_with("the run has diverged"));
  const TestFolder another;
  options.runs = another.path.string();
  options.fail_fast = true;
  const StudyOutcome fast = run_study(study, system_fs(), options);
  CHECK(fast.code() == ExitCode::run_failed);
  CHECK(fast.result.variants[2].runs.empty());
}

TEST_CASE("an expectation is checked by name before anything runs, by value at the end") {
  const TestFolder folder;
  std::vector<std::string> notes;
  Study study = tiny_study({{"a", "epochs: 1"}}, 1);
  study.variants[0].expect = {expectation("test/accuracy", Expectation::Kind::at_least, 1.1)};
  const StudyOutcome outcome = run_study(study, system_fs(), options_in(folder, notes));
  CHECK(outcome.code() == ExitCode::expectation);
  CHECK(outcome.unmet.size() == 1);
  study.variants[0].expect[0].metric = "test/acuracy";
  notes.clear();
  CHECK_THROWS_WITH_AS(run_study(study, system_fs(), options_in(folder, notes)),
                       "there is no metric 'test/acuracy'", Error);
  CHECK(notes.empty());
}

TEST_CASE("a run folder belongs to one process at a time") {
  const TestFolder folder;
  const RunIdentity identity{.program = "s", .data = "d", .backend = "b", .code = "c"};
  const RunFolder held(system_fs(), folder.path, "a", identity);
  const std::string message =
      fmt::format("another process is at this run: '{}'", held.path().string());
  CHECK_THROWS_WITH_AS(RunFolder(system_fs(), folder.path, "a", identity), message.c_str(), Error);
}

TEST_CASE("no name leads out of the folder of runs") {
  CHECK(study_folder("runs", "../../etc") == fs::path("runs/_.._.._etc"));
  CHECK(study_folder("runs", "..") == fs::path("runs/_.."));
  CHECK(study_folder("runs", "") == fs::path("runs/_"));
  CHECK(study_folder("runs", "a b/c\x1b") == fs::path("runs/a_b_c_"));
  const TestFolder folder;
  const RunFolder run(system_fs(), folder.path, "../x", {.program = "s"});
  CHECK(run.path().parent_path() == folder.path / "_.._x");
}

TEST_CASE("the key changes with each thing that decides the bits") {
  const RunIdentity base{.program = "s", .data = "d", .backend = "b", .code = "c"};
  std::vector<RunIdentity> others(9, base);
  others[0].program = "t";
  others[1].data = "e";
  others[2].seed = 1;
  others[3].backend = "r";
  others[4].precision = "bf16";
  others[5].code = "x";
  others[6].threads = 2;
  others[7].evaluation = "t";
  others[8].test_data = "e";
  for (size_t k = 0; k < others.size(); ++k) {
    CHECK(others[k].key() != base.key());
    CHECK((others[k].training_key() == base.training_key()) == (k >= 7));
  }
  CHECK(base.key() == RunIdentity(base).key());
  CHECK(base.key().size() == 12);
}
