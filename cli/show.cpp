// show: a variant -> its complete YAML, or the text of a stage of its compilation.
#include <fmt/ostream.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>

#include "cli/commands.h"
#include "core/compile.h"
#include "core/support/suggest.h"

namespace expgraph {
namespace {

struct Arguments {
  StudyArguments study;
  std::string backend = "onednn";
  std::string stage;
  std::string dump;
  bool graph = false, stages = false;
};

struct Shown {
  std::string name, text;
  bool changed = true;
};

/// Every stage of the walk, in order.
std::vector<Shown> stages_of(const Variant& variant, const std::string& backend) {
  std::vector<Shown> stages;
  compile_pipeline(variant.spec, {.backend = backend, .dump = [&](const Stage& stage) {
                                    stages.push_back({stage.name, stage.text, stage.changed});
                                  }});
  return stages;
}

const Shown& find_stage(const std::vector<Shown>& stages, const std::string& wanted) {
  std::vector<std::string> names;
  for (const Shown& stage : stages) {
    if (stage.name == wanted) return stage;
    names.push_back(stage.name);
  }
  Error error(fmt::format("there is no stage '{}'", wanted), {}, ExitCode::usage);
  const std::string hint = did_you_mean(wanted, names);
  throw error.note(hint.empty() ? "'--stages' lists them" : hint);
}

/// One numbered text file a stage.
void dump(const std::vector<Shown>& stages, const std::string& folder) {
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  for (size_t i = 0; i < stages.size(); ++i) {
    std::string name = stages[i].name;
    std::replace(name.begin(), name.end(), '/', '-');
    const std::string path = fmt::format("{}/{:02}-{}.txt", folder, i, name);
    if (!(std::ofstream(path, std::ios::binary) << stages[i].text).flush()) {
      throw Error(fmt::format("cannot write '{}'", path), {}, ExitCode::environment);
    }
  }
}

ExitCode show(const Arguments& arguments, Streams& streams) {
  const Variant variant = choose_variant(arguments.study);
  const bool compiles =
      arguments.graph || arguments.stages || !arguments.stage.empty() || !arguments.dump.empty();
  if (!compiles) {
    fmt::print(streams.out, "{}", to_yaml(variant.spec));
    return ExitCode::done;
  }
  if (arguments.graph) {
    const CompiledPipeline compiled =
        compile_pipeline(variant.spec, {.backend = arguments.backend});
    fmt::print(streams.out, "{}", to_text(compiled.train.step.graph));
    return ExitCode::done;
  }
  const std::vector<Shown> stages = stages_of(variant, arguments.backend);
  if (!arguments.dump.empty()) dump(stages, arguments.dump);
  if (arguments.stages) {
    for (const Shown& stage : stages) {
      fmt::print(streams.out, "{}{}\n", stage.name, stage.changed ? "" : " (unchanged)");
    }
  }
  if (!arguments.stage.empty()) {
    fmt::print(streams.out, "{}", find_stage(stages, arguments.stage).text);
  }
  return ExitCode::done;
}

}  // namespace

Action add_show(CLI::App& app, Streams& streams) {
  const auto arguments = std::make_shared<Arguments>();
  add_variant_arguments(app, arguments->study);
  app.add_option("--backend", arguments->backend, "onednn (default), libtorch or reference")
      ->type_name("NAME");
  app.add_flag("--graph", arguments->graph,
               "the training step as it is run: forward, backward, "
               "update");
  app.add_flag("--stages", arguments->stages, "names of the stages of compilation");
  app.add_option("--stage", arguments->stage, "the text of one stage")->type_name("NAME");
  app.add_option("--dump", arguments->dump, "writes every stage into a folder")
      ->type_name("FOLDER");
  return [arguments, &streams] { return show(*arguments, streams); };
}

}  // namespace expgraph
