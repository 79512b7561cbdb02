// run: a study -> its runs, trained or reused, and the table of them.
#include <fmt/ostream.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/commands.h"
#include "core/backend.h"
#include "core/study/attribution.h"
#include "core/study/budget.h"
#include "core/study/study.h"
#include "core/study/table.h"
#include "viz/drawings.h"
#include "viz/svg.h"

namespace expgraph {
namespace {

struct Arguments {
  StudyArguments study;
  std::string backend = "onednn";
  std::string runs = "runs";
  std::string data;
  std::string budget;
  int threads = 0, jobs = 1, retries = 0;
  bool download = false, fresh = false, explain = false, json = false;
  bool fail_fast = false, keep_going = false, untimed = false;
};

/// What a signal handler may touch.
std::atomic<bool> stop_asked = false;
static_assert(std::atomic<bool>::is_always_lock_free);

/// While it lives, the first Ctrl-C asks the run to stop; a second one ends the process.
class StopOnSignal {
 public:
  StopOnSignal() {
    stop_asked = false;
    struct sigaction action {};
    action.sa_handler = [](int) { stop_asked = true; };
    action.sa_flags = SA_RESETHAND | SA_RESTART;
    sigaction(SIGINT, &action, &interrupt_);
    sigaction(SIGTERM, &action, &terminate_);
  }
  ~StopOnSignal() {
    sigaction(SIGINT, &interrupt_, nullptr);
    sigaction(SIGTERM, &terminate_, nullptr);
  }
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;

 private:
  struct sigaction interrupt_ {
  }, terminate_{};
};

/// The words that decide what comes out.
std::string command_of(const Arguments& arguments) {
  const StudyArguments& study = arguments.study;
  std::string out = "expgraph run " + study.file;
  const auto add = [&](std::string_view option, const std::string& value) {
    if (!value.empty()) out += fmt::format(" {} {}", option, value);
  };
  add("--profile", study.profile);
  add("--only", fmt::format("{}", fmt::join(study.only, ",")));
  add("--seeds", study.seeds == 0 ? "" : fmt::format("{}", study.seeds));
  for (const std::string& set : study.set) {
    const bool plain = set.find_first_of(" '\"[]{}$*;&|<>()") == std::string::npos;
    add("--set", plain ? set : "'" + set + "'");
  }
  add("--attribute", study.attribute == 0 ? "" : fmt::format("{}", study.attribute));
  add("--backend", arguments.backend == "onednn" ? "" : arguments.backend);
  return out;
}

/// net.svg and, where there is a base, edit.svg; drawn once however many seeds want them.
class Drawings {
 public:
  const std::vector<RunFile>& of(const Variant& variant) {
    auto [place, is_new] = drawn_.try_emplace(variant.name);
    if (!is_new) return place->second;
    place->second.emplace_back("net.svg", to_svg(network_picture(variant.spec, variant.title)));
    if (variant.before != nullptr) {
      const std::string title = fmt::format("{}: {}", variant.title, variant.note);
      place->second.emplace_back("edit.svg",
                                 to_svg(edit_picture(*variant.before, *variant.after, title)));
    }
    return place->second;
  }

 private:
  std::map<std::string, std::vector<RunFile>> drawn_;
};

void print_result(const StudyOutcome& outcome, const Arguments& arguments, Streams& streams) {
  if (outcome.result.attribution) {
    const AttributionTable table = attribute(outcome.result);
    if (arguments.json) return print_json(streams, to_json(table));
    fmt::print(streams.out, "{}", to_terminal(table));
    return;
  }
  const Table table = make_table(outcome.result);
  const bool is_empty = table.metric.empty();  // no run is finished
  if (arguments.json) {
    nlohmann::ordered_json json = to_json(table);
    json["failed"] = outcome.failed;
    json["interrupted"] = outcome.interrupted;
    json["unmet"] = outcome.unmet;
    print_json(streams, json);
  } else if (!is_empty || !outcome.interrupted) {
    fmt::print(streams.out, "{}",
               to_terminal(table, {.columns = streams.width, .colour = streams.colour}));
  }
  for (const std::string& text : outcome.unmet) {
    fmt::print(streams.err, "expectation not met: {}\n", text);
  }
}

ExitCode run(const Arguments& arguments, Streams& streams) {
  const Study study = read_study(arguments.study);
  StudyOutcome outcome;
  {
    Progress progress(streams.err, {.terminal = streams.err_terminal, .columns = streams.width});
    const StopOnSignal stop;
    Drawings drawings;
    const char* place = std::getenv("EXPGRAPH_DATA");
    StudyRunOptions options;
    options.runs = arguments.runs;
    options.backend = arguments.backend;
    options.command = command_of(arguments);
    options.threads = arguments.threads;
    options.data.path = arguments.data.empty() && place != nullptr ? place : arguments.data;
    options.data.download = arguments.download;
    options.data.threads = arguments.threads;
    options.data.progress = [&](std::string_view what, double done) { progress.work(what, done); };
    options.fresh = arguments.fresh;
    options.fail_fast = arguments.fail_fast;
    options.keep_going = arguments.keep_going;
    options.retries = arguments.retries;
    options.jobs = arguments.jobs;
    if (!arguments.budget.empty()) options.budget = parse_duration(arguments.budget);
    options.timed = !arguments.untimed;
    options.explain = arguments.explain;
    options.stop = &stop_asked;
    options.draw = [&](const Variant& variant) { return drawings.of(variant); };
    options.start = [&](const std::string& title) { progress.start(title); };
    options.observer = {.step = [&](const StepReport& report) { progress.step(report); },
                        .epoch = [&](const RunRecord& record) { progress.epoch(record); },
                        .note = [&](const std::string& text) { progress.line(text); }};
    outcome = run_study(study, system_fs(), options);
  }
  write_report(study_folder(arguments.runs, study.name), outcome.result);
  print_result(outcome, arguments, streams);
  return outcome.code();
}

}  // namespace

Action add_run(CLI::App& app, Streams& streams) {
  const auto arguments = std::make_shared<Arguments>();
  add_study_arguments(app, arguments->study);
  app.add_option("--attribute", arguments->study.attribute,
                 "instead of the variants, the sets of edits of N orders: what each edit gives")
      ->type_name("N")
      ->check(CLI::Range(1, 1000))
      ->excludes("--only");
  app.add_option("--backend", arguments->backend, "onednn (default), libtorch or reference");
  app.add_option("--data", arguments->data,
                 "where the data lies: a file or a folder (default: $EXPGRAPH_DATA)");
  app.add_flag("--download", arguments->download, "fetch data that is missing");
  app.add_option("--threads", arguments->threads, "threads of a run (default: all)")
      ->check(CLI::Range(0, 1024));
  app.add_option("--jobs", arguments->jobs, "runs side by side; more than one: --untimed")
      ->check(CLI::Range(1, 1024));
  app.add_option("--budget", arguments->budget,
                 "30m: runs that tell most first, none that would not end in time");
  app.add_flag("--untimed", arguments->untimed, "runs may share the device; their times are void");
  app.add_option("--runs", arguments->runs, "folder of all runs (default: runs)");
  app.add_flag("--fresh", arguments->fresh, "train again what is finished");
  const auto fail_fast =
      app.add_flag("--fail-fast", arguments->fail_fast, "stop at the first failed run");
  app.add_flag("--keep-going", arguments->keep_going, "go on after errors of any kind")
      ->excludes(fail_fast);
  app.add_option("--retries", arguments->retries, "tries of a failed run, if it has not diverged")
      ->check(CLI::Range(0, 100));
  app.add_flag("--explain", arguments->explain, "say why each run is due");
  add_json(app, arguments->json);
  return [arguments, &streams] { return run(*arguments, streams); };
}

}  // namespace expgraph
