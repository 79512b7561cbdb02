// sharing_test: what variants have in common is done once: equal programs, preparation, training.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/study/study_file.h"
#include "core/study/study_plan.h"
#include "core/study/table.h"
#include "core/train/prepared.h"
#include "tests/support/fast_fs.h"
#include "tests/support/tiny_study.h"

using namespace expgraph;

namespace {

size_t starts_in(const std::vector<std::string>& notes) {
  return static_cast<size_t>(std::count_if(
      notes.begin(), notes.end(), [](const auto& note) { return note.starts_with("start "); }));
}

const RunRecord& record_of(const StudyOutcome& outcome, size_t variant, size_t seed = 0) {
  return outcome.result.variants.at(variant).runs.at(seed).record.value();
}

ProgramIdentity identity_of(std::string pipeline) {
  return identify(compile_pipeline(expand_text(pipeline, "tiny.yaml", ".", {}, op_names()),
                                   {.backend = "reference"}));
}

/// The tiny pipeline with one piece of its text replaced.
std::string with(const std::string& old, const std::string& now) {
  std::string text = kTinyPipeline;
  const size_t at = text.find(old);
  REQUIRE(at != std::string::npos);
  return text.replace(at, old.size(), now);
}

const std::string kUnread = "    m: {op: piecewise_linear, epochs: [0, 3], values: [0.85, 0.9]}\n";

}  // namespace

TEST_CASE("edits that change nothing of what a run does are proved to be no-ops") {
  const ProgramIdentity base = identity_of(kTinyPipeline);
  const std::vector<std::pair<std::string, std::string>> no_ops = {
      {"momentum: 0.9", "momentum: 0.90"},                               // the value that it has
      {"weight_decay: 5e-4", "weight_decay: 0.0005"},                    // spelled otherwise
      {"bn: batch_norm", "bn: {op: batch_norm, epsilon: 1e-5}"},         // the default
      {"flip: random_flip", "flip: {op: random_flip}"},                  // the long form
      {"flatten: flatten", "flatten: flatten\n        again: flatten"},  // flat already
      {"relu: relu", "one: {op: scale, factor: 1}\n        relu: relu"},
  };
  for (const auto& [old, now] : no_ops) {
    INFO(now);
    CHECK(identity_of(with(old, now)) == base);
  }
}

TEST_CASE("momentum that the optimiser does not read changes nothing") {
  const std::string plain = "update: {op: sgd, loss: loss, lr: lr}";
  const std::string full =
      "update: {op: sgd, loss: loss, lr: lr, momentum: 0.9, nesterov: true, weight_decay: 5e-4}";
  std::string unread = with(full, plain);
  unread.insert(unread.find("    lr: {op"), kUnread);
  std::string changed = unread;
  changed.replace(changed.find("0.85"), 4, "0.95");
  CHECK(changed != unread);
  CHECK(identity_of(changed) == identity_of(unread));
}

TEST_CASE("loss scaling is no no-op, nor is any of its numbers; its defaults are") {
  const auto scaled = [](const std::string& node) {
    return identity_of(with("    update: {", "    scaling: " + node + "\n    update: {"));
  };
  const ProgramIdentity base = scaled("loss_scale");
  CHECK(base.training != identity_of(kTinyPipeline).training);
  CHECK(base == scaled("{op: loss_scale, start: 65536, every: 1000, largest: 16777216}"));
  for (const std::string number : {"start: 32768", "every: 999", "largest: 65536"}) {
    INFO(number);
    const ProgramIdentity own = scaled("{op: loss_scale, " + number + "}");
    CHECK(own.training != base.training);
    CHECK(own.evaluation == base.evaluation);
  }
}

TEST_CASE("edits that change what a run does are no no-ops") {
  const ProgramIdentity base = identity_of(kTinyPipeline);
  const std::vector<std::pair<std::string, std::string>> real = {
      {"momentum: 0.9", "momentum: 0.900001"},
      {"nesterov: true", "nesterov: false"},
      {"shuffle: true", "shuffle: false"},
      {"epochs: $epochs", "epochs: 4"},
      {"$peak_lr, 0]", "$peak_lr, 0.001]"},
      {"cutout: {op: cutout, size: 8}", ""},
      {"count: 40", "count: 41"},
      {"kernel: 3, stride: 4", "kernel: 3, stride: 2"},
      {"epochs: $epochs", "epochs: $epochs\n  stop: when train/loss <= 0.1"},
  };
  for (const auto& [old, now] : real) {
    INFO(now);
    const ProgramIdentity own = identity_of(with(old, now));
    CHECK(own.training != base.training);
  }
  const ProgramIdentity tested = identity_of(with("size: $test_batch", "size: $(test_batch / 2)"));
  CHECK(tested.training == base.training);
  CHECK(tested.evaluation != base.evaluation);
}

TEST_CASE("a no-op is told before anything runs, runs once and is shared in the table") {
  const TestFolder folder;
  std::vector<std::string> notes;
  const Study study = tiny_study(
      {{"a", "epochs: 1"}, {"same", "epochs: 1, peak_lr: 0.1"}, {"b", "epochs: 1, batch: 8"}}, 2);
  const StudyOutcome outcome = run_study(study, system_fs(), options_in(folder, notes));
  REQUIRE(!notes.empty());
  CHECK(notes[0] == "'same' compiles to the same programs as 'a': a no-op, run once");
  CHECK(starts_in(notes) == 4);
  CHECK(record_of(outcome, 1).history == record_of(outcome, 0).history);
  CHECK(outcome.result.variants[1].runs[0].from.starts_with("tiny/a/0-"));
  const Table table = make_table(outcome.result);
  CHECK(table.rows[1].no_op);
  CHECK(table.rows[1].metric.n == 2);
  CHECK(table.comparisons <= 1);  // of b
  CHECK(to_markdown(table).find("compiled programs are equal, run once: same = a") !=
        std::string::npos);
  CHECK(to_json(make_table(load_study(system_fs(), folder.path / "tiny"))) == to_json(table));
}

TEST_CASE("a failed run fails for all that are equal to it, and is run once") {
  const TestFolder folder;
  std::vector<std::string> notes;
  const Study study =
      tiny_study({{"a", "epochs: 1, peak_lr: 1e39"}, {"same", "peak_lr: 1e39, epochs: 1"}}, 1);
  const StudyOutcome outcome = run_study(study, system_fs(), options_in(folder, notes));
  CHECK(outcome.failed == 2);
  CHECK(starts_in(notes) == 1);
  CHECK(outcome.result.variants[1].runs[0].error == outcome.result.variants[0].runs[0].error);
}

TEST_CASE("what is prepared once for several variants is charged to each") {
  const TestFolder folder;
  std::vector<std::string> notes;
  const Study study = tiny_study({{"a", "epochs: 1"}, {"b", "epochs: 1, batch: 8"}}, 1);
  const StudyOutcome outcome = run_study(study, system_fs(), options_in(folder, notes));
  // Besides, each makes its own start values, in a fraction of that time.
  const double first = record_of(outcome, 0).clocks.preprocessing;
  CHECK(first > 0);
  CHECK(record_of(outcome, 1).clocks.preprocessing > 0.5 * first);
}

TEST_CASE("prepared samples are kept while they fit, those used last longest") {
  PreparedSamples samples(200);
  const auto get = [&](const std::string& key) {
    return samples.get(key, [] { return Prepared{.samples = AlignedBuffer(100)}; });
  };
  const auto a = get("a");
  get("b");
  CHECK(get("a") == a);
  CHECK(samples.made() == 2);
  get("c");  // b goes
  CHECK(get("a") == a);
  CHECK(samples.made() == 3);
  get("b");
  CHECK(samples.made() == 4);
}

TEST_CASE("a variant that differs in its evaluation alone takes the trained weights") {
  const std::pair<std::string, std::string> tested = {"tested", "epochs: 2, test_batch: 10"};
  std::vector<std::string> notes;
  const TestFolder alone, shared;
  const StudyOutcome own =
      run_study(tiny_study({tested}, 1), system_fs(), options_in(alone, notes));
  notes.clear();
  StudyRunOptions options = options_in(shared, notes);
  run_study(tiny_study({{"a", "epochs: 2"}}, 1), system_fs(), options);
  notes.clear();
  options.explain = true;
  const StudyOutcome both =
      run_study(tiny_study({{"a", "epochs: 2"}, tested}, 1), system_fs(), options);
  const RunRecord& a = record_of(both, 0);
  const RunRecord& b = record_of(both, 1);
  CHECK(b.history.back().metrics == record_of(own, 0).history.back().metrics);
  CHECK(b.clocks.training() == a.clocks.training());
  CHECK(b.history[0].metrics[0] == a.history[0].metrics[0]);
  CHECK(std::isnan(b.history[0].metrics[2]));
  REQUIRE(notes.size() == 4);
  CHECK(notes[0] == "'tested' trains as 'a': its evaluation alone is run");
  CHECK(notes[2].starts_with("tested seed 0: evaluated on the weights of tiny/a/0-"));
  CHECK(notes[3] == "start 2/2 tested seed 0");
  notes.clear();
  const StudyOutcome again =
      run_study(tiny_study({{"a", "epochs: 2"}, tested}, 1), system_fs(), options);
  CHECK(metrics_of(again.result) == metrics_of(both.result));
  CHECK(starts_in(notes) == 0);
}

TEST_CASE("an equal run of another study is reused") {
  const TestFolder folder;
  std::vector<std::string> notes;
  Study study = tiny_study({{"a", "epochs: 1"}}, 1);
  const StudyOutcome first = run_study(study, system_fs(), options_in(folder, notes));
  study.name = "other";
  notes.clear();
  const StudyOutcome second = run_study(study, system_fs(), options_in(folder, notes));
  CHECK(starts_in(notes) == 0);
  CHECK(metrics_of(second.result) == metrics_of(first.result));
  CHECK(second.result.variants[0].runs[0].from.starts_with("tiny/a/0-"));
}

TEST_CASE("running some variants keeps the others, and other seeds, in the table") {
  const TestFolder folder;
  std::vector<std::string> notes;
  Study study = tiny_study({{"a", "epochs: 1"}, {"b", "epochs: 1, batch: 8"}}, 2);
  study.order = {"a", "b"};
  run_study(study, system_fs(), options_in(folder, notes));
  Study one = study;
  one.seeds = 1;
  one.others = {one.variants[0]};
  one.variants.erase(one.variants.begin());
  const StudyOutcome outcome = run_study(one, system_fs(), options_in(folder, notes));
  const Table table = make_table(load_study(system_fs(), folder.path / "tiny"));
  REQUIRE(table.rows.size() == 2);
  CHECK(table.rows[0].name == "a");
  CHECK(table.rows[0].metric.n == 2);
  CHECK(table.rows[1].metric.n == 2);
  CHECK(to_json(make_table(outcome.result)) == to_json(table));
}

TEST_CASE("jobs side by side give the same results, without times") {
  const Study study =
      tiny_study({{"a", "epochs: 1"}, {"same", "peak_lr: 0.1, epochs: 1"}, {"b", "batch: 8"}}, 3);
  std::vector<std::string> notes;
  const TestFolder one, two;
  StudyRunOptions options = options_in(one, notes);
  const StudyOutcome alone = run_study(study, system_fs(), options);
  options = options_in(two, notes);
  options.jobs = 3;
  CHECK_THROWS_WITH_AS(run_study(study, system_fs(), options),
                       "3 jobs share one device, so their times would mean nothing", Error);
  options.timed = false;
  notes.clear();
  const StudyOutcome both = run_study(study, system_fs(), options);
  CHECK(metrics_of(both.result) == metrics_of(alone.result));
  CHECK(starts_in(notes) == 6);
  const Table table = make_table(both.result);
  CHECK(table.rows[0].metric.n == 3);
  CHECK(table.rows[0].seconds.n == 0);
  CHECK(table.untimed == 9);
}

namespace {

/// Fails the writes of one file of one run, as often as is asked.
class FailingFs : public FastFs {
 public:
  FailingFs(std::string part, int times) : part_(std::move(part)), times_(times) {}
  void write(const std::filesystem::path& path, std::span<const std::string_view> pieces) override {
    if (path.string().find(part_) != std::string::npos && times_-- > 0) {
      throw Error("the disk is full", {}, ExitCode::environment);
    }
    FastFs::write(path, pieces);
  }

 private:
  std::string part_;
  int times_;
};

}  // namespace

TEST_CASE("a run that fails is tried again as often as is asked, unless it has diverged") {
  std::vector<std::string> notes;
  const Study study = tiny_study({{"a", "epochs: 1"}, {"b", "epochs: 2"}}, 1);
  const TestFolder folder;
  StudyRunOptions options = options_in(folder, notes);
  options.retries = 2;
  FailingFs twice("/a/0-", 2 + 1);  // its first file, before the attempts, is written once
  CHECK_THROWS_WITH_AS(run_study(study, twice, options), "the disk is full", Error);
  FailingFs checkpoint("checkpoints/new.part/states", 2);
  notes.clear();
  const StudyOutcome outcome = run_study(study, checkpoint, options);
  CHECK(outcome.code() == ExitCode::done);
  CHECK(std::count(notes.begin(), notes.end(), "a seed 0: the disk is full; retry 2 of 2") == 1);
  const TestFolder other;
  StudyRunOptions diverging = options_in(other, notes);
  diverging.retries = 2;
  notes.clear();
  const Study bad = tiny_study({{"a", "epochs: 1, peak_lr: 1e39"}}, 1);
  CHECK(run_study(bad, system_fs(), diverging).failed == 1);
  CHECK(std::count_if(notes.begin(), notes.end(), [](const std::string& note) {
          return note.find("retry") != std::string::npos;
        }) == 0);
}

TEST_CASE("with keep_going an error of one run does not stop the others") {
  std::vector<std::string> notes;
  const Study study = tiny_study({{"a", "epochs: 1"}, {"b", "epochs: 2"}}, 1);
  const TestFolder folder;
  StudyRunOptions options = options_in(folder, notes);
  FailingFs always("/a/0-", 1000);
  CHECK_THROWS_WITH_AS(run_study(study, always, options), "the disk is full", Error);
  options.keep_going = true;
  FailingFs again("/a/0-", 1000);
  const StudyOutcome outcome = run_study(study, again, options);
  CHECK(outcome.code() == ExitCode::run_failed);
  CHECK(outcome.result.variants[0].runs[0].error == "the disk is full");
  CHECK(outcome.result.variants[1].runs[0].record.has_value());
}

TEST_CASE("a run ends after the first epoch at which its condition holds, and stays ended") {
  const TestFolder folder;
  std::vector<std::string> notes;
  Study study = tiny_study({{"a", ""}}, 1);
  study.variants[0].spec =
      expand_text(with("epochs: $epochs", "epochs: $epochs\n  stop: when test/accuracy >= 0"),
                  "tiny.yaml", ".", {}, op_names());
  const StudyOutcome outcome = run_study(study, system_fs(), options_in(folder, notes));
  CHECK(record_of(outcome, 0).stopped);
  CHECK(record_of(outcome, 0).history.size() == 1);
  CHECK(record_of(outcome, 0).epochs == 3);
  notes.clear();
  run_study(study, system_fs(), options_in(folder, notes));
  CHECK(notes.empty());
}

TEST_CASE("time to a target is the mean of the runs that reach it, and the others are counted") {
  StudyResult result{.study = "s", .target = "test/accuracy >= 0.5"};
  VariantResult variant{.name = "a"};
  const auto add = [&](double first, double last, bool timed = true) {
    RunRecord record{.metrics = {{"test/accuracy", true}}, .epochs = 2, .timed = timed};
    record.history = {{1, 0, {first}, 10}, {2, 0, {last}, 20}};
    variant.runs.push_back({.seed = int64_t(variant.runs.size()), .record = record});
  };
  add(0.6, 0.7);
  add(0.4, 0.7);
  add(0.4, 0.49);
  add(0.4, 0.7, false);
  add(std::nan(""), 0.7);  // not measured at each epoch
  variant.runs.push_back({.seed = 5, .error = "the run has diverged"});
  result.variants = {variant};
  const Table table = make_table(result);
  const TimeTo& time = table.rows[0].time_to.value();
  CHECK(time.runs == 5);
  CHECK(time.reached == 3);
  CHECK(time.seconds.n == 2);
  CHECK(time.seconds.mean == 15);
  const std::string text = to_markdown(table);
  CHECK(text.find("| time to 50 % s | reached |") != std::string::npos);
  CHECK(text.find("| 15.0 ± 7.1 | 3/5 |") != std::string::npos);
}
