// plan: a study or pipeline -> what a run of it would take, compiled but not run.
#include <fmt/ostream.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "core/compile.h"
#include "core/study/table.h"

namespace expgraph {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  StudyArguments study;
  std::string backend = "onednn";
  bool json = false;
};

std::vector<std::string> names_of(const std::vector<std::string>& paths) {
  std::vector<std::string> names;
  for (const std::string& path : paths) names.push_back(path.substr(path.rfind('/') + 1));
  return names;
}

/// "once: normalise, pad; each batch: crop, flip" of the training side, and why not more is done
/// once.
std::string data_text(const SideGraphs& side) {
  const auto list = [](const std::vector<std::string>& paths) {
    return paths.empty() ? "nothing" : fmt::format("{}", fmt::join(names_of(paths), ", "));
  };
  std::string out =
      fmt::format("once {}; for each batch {}", list(side.prepared_paths), list(side.fed_paths));
  if (!side.why_not_cached.empty()) out += fmt::format(" ({})", side.why_not_cached);
  return out;
}

Json json_of(const Variant& variant, const CompiledPipeline& compiled) {
  const SideGraphs& side = compiled.train.graphs;
  return {{"name", variant.name},
          {"title", variant.title},
          {"base", variant.base},
          {"epochs", compiled.epochs},
          {"batch", side.nominal_batch},
          {"steps_per_epoch", compiled.steps_per_epoch},
          {"steps", compiled.steps},
          {"parameters", compiled.parameters},
          {"macs", compiled.macs},
          {"flops_per_step", compiled.flops},
          {"peak_bytes", compiled.peak_bytes},
          {"data_bytes", compiled.data_bytes},
          {"data", side.data.name},
          {"samples", side.data.count},
          {"once", side.prepared_paths},
          {"each_batch", side.fed_paths},
          {"why_not_cached", side.why_not_cached}};
}

ExitCode plan(const Arguments& arguments, Streams& streams) {
  const Study study = read_study(arguments.study);
  Json variants = Json::array();
  std::vector<std::vector<std::string>> rows{
      {"variant", "epochs", "batch", "steps", "parameters", "MACs", "memory", "data"}};
  std::vector<std::pair<std::string, std::vector<std::string>>> data;  // text, variants
  for (const Variant& variant : study.variants) {
    const CompiledPipeline compiled = in_variant(study, variant, [&](const FlatSpec& spec) {
      return compile_pipeline(spec, {.backend = arguments.backend});
    });
    variants.push_back(json_of(variant, compiled));
    rows.push_back({variant.name, fmt::format("{}", compiled.epochs),
                    std::to_string(compiled.train.graphs.nominal_batch),
                    std::to_string(compiled.steps), fmt::format("{}", compiled.parameters),
                    si_text(double(compiled.macs)), bytes_text(compiled.peak_bytes),
                    bytes_text(compiled.data_bytes)});
    const std::string text = data_text(compiled.train.graphs);
    if (data.empty() || data.back().first != text) data.push_back({text, {}});
    data.back().second.push_back(variant.name);
  }
  if (arguments.json) {
    print_json(streams, {{"study", study.name},
                         {"profile", study.profile},
                         {"backend", arguments.backend},
                         {"seeds", study.seeds},
                         {"variants", variants}});
    return ExitCode::done;
  }
  fmt::print(streams.out, "{}",
             columns_text(rows, {false, true, true, true, true, true, true, true}));
  fmt::print(streams.out,
             "\nMACs: of one image forward. memory: states, activations and inputs of a step on "
             "{}.\ndata: samples as they wait in memory.\n\n",
             arguments.backend);
  for (const auto& [text, names] : data) {
    const std::string range =
        names.size() == 1 ? names.front() : fmt::format("{} to {}", names.front(), names.back());
    fmt::print(streams.out, "{}: {}\n", range, text);
  }
  return ExitCode::done;
}

}  // namespace

Action add_plan(CLI::App& app, Streams& streams) {
  const auto arguments = std::make_shared<Arguments>();
  add_study_arguments(app, arguments->study);
  app.add_option("--backend", arguments->backend, "onednn (default), libtorch or reference")
      ->type_name("NAME");
  add_json(app, arguments->json);
  return [arguments, &streams] { return plan(*arguments, streams); };
}

}  // namespace expgraph
