// table: what a study has in the run store -> its table. Loads no backend and no data.
#include "core/study/table.h"

#include <fmt/ostream.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "core/study/attribution.h"
#include "core/study/study.h"

namespace expgraph {
namespace {

struct Arguments {
  std::string place;
  std::string runs = "runs";
  std::string format = "terminal";
  std::string target;
  bool attribute = false, json = false;
};

ExitCode show_table(const Arguments& arguments, Streams& streams) {
  std::filesystem::path folder = stored_study(arguments.place, arguments.runs);
  if (arguments.attribute && folder != arguments.place) folder += "-attribution";
  StudyResult result = load_study(system_fs(), folder);
  if (!arguments.target.empty()) result.target = arguments.target;
  if (arguments.attribute) {
    const AttributionTable table = attribute(result);
    if (arguments.json || arguments.format == "json") {
      print_json(streams, to_json(table));
    } else {
      fmt::print(streams.out, "{}", to_terminal(table));
    }
    return ExitCode::done;
  }
  const Table table = make_table(result);
  if (arguments.json || arguments.format == "json") {
    print_json(streams, to_json(table));
  } else if (arguments.format == "markdown") {
    fmt::print(streams.out, "{}", to_markdown(table));
  } else if (arguments.format == "latex") {
    fmt::print(streams.out, "{}", to_latex(table));
  } else if (arguments.format == "tsv") {
    fmt::print(streams.out, "{}", to_tsv(table));
  } else {
    fmt::print(streams.out, "{}",
               to_terminal(table, {.columns = streams.width, .colour = streams.colour}));
  }
  return ExitCode::done;
}

}  // namespace

Action add_table(CLI::App& app, Streams& streams) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("STUDY", arguments->place, "a study's folder in the run store, or its file")
      ->required();
  app.add_option("--runs", arguments->runs, "folder of all runs (default: runs)");
  app.add_option("--format", arguments->format, "terminal (default), markdown, tsv, json or latex")
      ->check(CLI::IsMember({"terminal", "markdown", "tsv", "json", "latex"}));
  app.add_flag("--attribute", arguments->attribute,
               "what each edit gives, after 'run --attribute'; as text or --json");
  app.add_option("--target", arguments->target,
                 "tell the time until it holds: 'test/accuracy >= 0.94' (default: the study's)")
      ->type_name("CONDITION");
  add_json(app, arguments->json);
  return [arguments, &streams] { return show_table(*arguments, streams); };
}

}  // namespace expgraph
