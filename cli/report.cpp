// report: what a study has in the run store -> an HTML page. Loads no backend and no data.
#include "viz/report.h"

#include <fmt/ostream.h>

#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "core/study/study.h"

namespace expgraph {
namespace {

struct Arguments {
  std::string place;
  std::string runs = "runs";
  std::string output;
};

ExitCode report(const Arguments& arguments, Streams& streams) {
  const std::filesystem::path folder = stored_study(arguments.place, arguments.runs);
  const StudyResult result = load_study(system_fs(), folder);
  if (arguments.output.empty()) {
    write_report(folder, result);
    fmt::print(streams.out, "{}\n", (folder / "report.html").string());
    return ExitCode::done;
  }
  const std::filesystem::path place = std::filesystem::path(arguments.output).parent_path();
  const std::filesystem::path links =
      std::filesystem::absolute(folder).lexically_relative(std::filesystem::absolute(place));
  write_file(arguments.output,
             report_page(system_fs(), folder, result, {.links = (links / "").generic_string()}));
  return ExitCode::done;
}

}  // namespace

void write_report(const std::filesystem::path& folder, const StudyResult& result) {
  write_plots(system_fs(), folder, result);
  system_fs().replace(folder / "report.html", report_page(system_fs(), folder, result));
}

Action add_report(CLI::App& app, Streams& streams) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("STUDY", arguments->place, "a study's folder in the run store, or its file")
      ->required();
  app.add_option("--runs", arguments->runs, "folder of all runs (default: runs)");
  app.add_option("-o,--output", arguments->output,
                 "the page alone, to this file (default: report.html and plots/ in the study's "
                 "folder)")
      ->type_name("FILE");
  return [arguments, &streams] { return report(*arguments, streams); };
}

}  // namespace expgraph
