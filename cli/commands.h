// commands: what each file cli/<command>.cpp offers, and the options that several share.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "cli/cli.h"
#include "core/pipeline.h"
#include "core/spec/study_spec.h"

namespace expgraph {

Action add_check(CLI::App& app, Streams& streams);
Action add_run(CLI::App& app, Streams& streams);
Action add_table(CLI::App& app, Streams& streams);
Action add_draw(CLI::App& app, Streams& streams);

/// What names the variants that a command works on: FILE --profile --only --set --seeds.
struct StudyArguments {
  std::string file;
  std::string profile;
  std::vector<std::string> only;
  std::vector<std::string> set;  ///< "path.attribute=value" or "parameter=value"
  int seeds = 0;                 ///< 0: as the study says
};

void add_study_arguments(CLI::App& app, StudyArguments& arguments);

/// Reads the study (or the pipeline, a study of one variant). Error when nothing is left of it.
Study read_study(const StudyArguments& arguments);

/// Types the graphs of a variant; an Error says which variant it was.
PipelineGraphs build_variant(const Variant& variant);

/// Adds `--json`.
void add_json(CLI::App& app, bool& json);
/// Prints a result as JSON; bytes that are not UTF-8 are replaced.
void print_json(Streams& streams, const nlohmann::ordered_json& json);

}  // namespace expgraph
