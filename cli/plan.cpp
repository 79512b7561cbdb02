// plan: a study or pipeline -> what a run of it would take, compiled but not run.
#include <fmt/ostream.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "core/compile.h"
#include "core/data/dataset.h"
#include "core/program_cache.h"
#include "core/study/calibration.h"
#include "core/study/study_plan.h"
#include "core/study/table.h"
#include "core/train/progress.h"

namespace expgraph {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  StudyArguments study;
  std::string backend = "onednn";
  bool json = false;
  bool time = false;
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

/// Compiles with what is known of the data sets without reading them; `names` gets what names them.
CompiledPipeline compile_planned(const FlatSpec& spec, const std::string& backend,
                                 ProgramCache& cache, std::vector<std::string>& names) {
  CompilePipelineOptions options{.backend = backend, .cache = &cache};
  options.build.dataset = [&](const std::string& name, const std::string& split,
                              const Location& where, const Attributes& attributes) {
    std::string text = name + "/" + split;
    for (const auto& [attribute, value] : attributes) {
      text += fmt::format(" {}={}", attribute, to_text(value));
    }
    names.push_back(std::move(text));
    return dataset_info(name, split, where, attributes);
  };
  return compile_pipeline(spec, options);
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
  std::vector<VariantIdentity> identities;
  ProgramCache cache;
  std::optional<Calibration> calibration;
  if (arguments.time) calibration = read_calibration(system_fs(), arguments.backend, 0);
  std::vector<bool> right = {false, true, true, true, true, true, true, true};
  if (calibration) {
    rows.front().emplace_back("time");
    right.push_back(true);
  }
  for (const Variant& variant : study.variants) {
    std::vector<std::string> sets;
    const CompiledPipeline compiled = in_variant(study, variant, [&](const FlatSpec& spec) {
      return compile_planned(spec, arguments.backend, cache, sets);
    });
    identities.push_back({.program = identify(compiled),
                          .data = sets.front(),
                          .test_data = sets.size() > 1 ? sets.back() : ""});
    variants.push_back(json_of(variant, compiled));
    rows.push_back({variant.name, fmt::format("{}", compiled.epochs),
                    std::to_string(compiled.train.graphs.nominal_batch),
                    std::to_string(compiled.steps), fmt::format("{}", compiled.parameters),
                    si_text(double(compiled.macs)), bytes_text(compiled.peak_bytes),
                    bytes_text(compiled.data_bytes)});
    if (calibration) {
      const double seconds = predicted_seconds(compiled, calibration->model);
      rows.back().push_back(duration_text(seconds));
      variants.back()["predicted_seconds"] = seconds;
    }
    const std::string text = data_text(compiled.train.graphs);
    if (data.empty() || data.back().first != text) data.push_back({text, {}});
    data.back().second.push_back(variant.name);
  }
  const std::vector<Sharing> sharing = find_sharing(identities);
  if (arguments.json) {
    const auto name_of = [&](size_t k) { return k == kNone ? "" : study.variants[k].name; };
    for (size_t k = 0; k < sharing.size(); ++k) {
      variants[k]["same_as"] = name_of(sharing[k].same_as);
      variants[k]["trained_as"] = name_of(sharing[k].trained_as);
    }
    print_json(streams, {{"study", study.name},
                         {"profile", study.profile},
                         {"backend", arguments.backend},
                         {"seeds", study.seeds},
                         {"variants", variants}});
    return ExitCode::done;
  }
  fmt::print(streams.out, "{}", columns_text(rows, right));
  fmt::print(streams.out,
             "\nMACs: of one image forward. memory: states, activations and inputs of a step on "
             "{}.\ndata: samples as they wait in memory.\n",
             arguments.backend);
  if (calibration) {
    fmt::print(streams.out, "time: of training with its tests, predicted; {}.\n",
               calibration_text(*calibration));
  }
  fmt::print(streams.out, "\n");
  for (const auto& [text, names] : data) {
    const std::string range =
        names.size() == 1 ? names.front() : fmt::format("{} to {}", names.front(), names.back());
    fmt::print(streams.out, "{}: {}\n", range, text);
  }
  for (const std::string& line : sharing_lines(sharing, study.variants)) {
    fmt::print(streams.out, "{}\n", line);
  }
  return ExitCode::done;
}

}  // namespace

Action add_plan(CLI::App& app, Streams& streams) {
  const auto arguments = std::make_shared<Arguments>();
  add_study_arguments(app, arguments->study);
  app.add_option("--backend", arguments->backend, "onednn (default), libtorch or reference")
      ->type_name("NAME");
  app.add_flag("--time", arguments->time, "predict times, by the calibration of this machine");
  add_json(app, arguments->json);
  return [arguments, &streams] { return plan(*arguments, streams); };
}

}  // namespace expgraph
