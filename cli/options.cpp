// options: arguments that several commands share -> a Study.
#include <fmt/ostream.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "core/pipeline.h"
#include "core/study/expectations.h"

namespace expgraph {

void add_study_arguments(CLI::App& app, StudyArguments& arguments) {
  app.add_option("FILE", arguments.file, "a study or a pipeline (YAML)")->required();
  app.add_option("--profile", arguments.profile, "named set of values of the study")
      ->type_name("NAME");
  app.add_option("--only", arguments.only, "variants by name or glob; 'final' is the last")
      ->type_name("NAME,...")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--set", arguments.set, "overrides path.attribute=value or parameter=value")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  app.add_option("--seeds", arguments.seeds, "runs of each variant")
      ->type_name("N")
      ->check(CLI::Range(1, 1000));
}

Study read_study(const StudyArguments& arguments) {
  StudyOptions options{.profile = arguments.profile, .only = arguments.only};
  for (const std::string& text : arguments.set) {
    const size_t equals = text.find('=');
    if (equals == 0 || equals == std::string::npos) {
      throw Error(fmt::format("--set wants NAME=VALUE, got '{}'", text), {}, ExitCode::usage);
    }
    options.set.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  if (arguments.seeds > 0) options.seeds = arguments.seeds;
  return read_study(arguments.file, options, op_names());
}

PipelineGraphs build_variant(const Variant& variant) {
  try {
    PipelineGraphs graphs = build_pipeline(variant.spec);
    check_expectations(variant, graphs.train, graphs.test ? &*graphs.test : nullptr);
    return graphs;
  } catch (Error& error) {
    throw error.note(fmt::format("in variant '{}'", variant.name), variant.where);
  }
}

void add_json(CLI::App& app, bool& json) {
  app.add_flag("--json", json, "print the result as JSON");
}

void print_json(Streams& streams, const nlohmann::ordered_json& json) {
  fmt::print(streams.out, "{}\n",
             json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace expgraph
