// plan: a study or pipeline -> what a run of it would take, compiled but not run.
#include <fmt/ostream.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <exception>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "core/compile.h"
#include "core/data/dataset.h"
#include "core/data/parallel.h"
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
    names.push_back(name + "/" + split + to_text(attributes));
    return dataset_info(name, split, where, attributes);
  };
  return compile_pipeline(spec, options);
}

Json json_of(const BudgetReport& budget) {
  return {{"bytes", budget.bytes},
          {"bytes_without", budget.bytes_without},
          {"values_again", budget.values},
          {"operations_added", budget.work}};
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
          {"budget", compiled.train.step.budget ? json_of(*compiled.train.step.budget) : Json()},
          {"data_bytes", compiled.data_bytes},
          {"data", side.data.name},
          {"samples", side.data.count},
          {"once", side.prepared_paths},
          {"each_batch", side.fed_paths},
          {"why_not_cached", side.why_not_cached}};
}

/// Cells of a variant that has a memory budget; empty for another.
std::vector<std::string> budget_cells(const std::optional<BudgetReport>& budget) {
  if (!budget) return {"", "", ""};
  return {bytes_text(budget->bytes), std::to_string(budget->values),
          fmt::format("{:+.1f} %", std::round(budget->work * 1000) / 10 + 0.0)};  // no -0.0
}

/// What is told of a variant.
struct Planned {
  VariantIdentity identity;
  Json json;
  std::vector<std::string> cells;
  std::optional<BudgetReport> budget;
  std::string data;
  std::exception_ptr failure;
};

class Planner {
 public:
  Planner(const Study& study, const Arguments& arguments) : study_(study), arguments_(arguments) {
    if (arguments.time) calibration_ = read_calibration(system_fs(), arguments.backend, 0);
  }

  const std::optional<Calibration>& calibration() const { return calibration_; }

  /// Of all variants, made by all cores; the first in the study that is wrong is the Error.
  std::vector<Planned> plan_all() {
    constexpr int64_t kChunk = 8;
    std::vector<Planned> out(study_.variants.size());
    parallel_for(static_cast<int64_t>(out.size()), kChunk, 0, [&](int64_t begin, int64_t end) {
      for (auto k = static_cast<size_t>(begin); k < static_cast<size_t>(end); ++k) {
        try {
          out[k] = plan_one(study_.variants[k]);
        } catch (...) {
          out[k].failure = std::current_exception();
        }
      }
    });
    for (const Planned& planned : out) {
      if (planned.failure) std::rethrow_exception(planned.failure);
    }
    return out;
  }

 private:
  Planned plan_one(const Variant& variant) {
    std::vector<std::string> sets;
    const CompiledPipeline compiled = in_variant(study_, variant, [&](const FlatSpec& spec) {
      return compile_planned(spec, arguments_.backend, cache_, sets);
    });
    Planned out{.identity = {.program = identify(compiled),
                             .data = sets.front(),
                             .test_data = sets.size() > 1 ? sets.back() : ""},
                .json = json_of(variant, compiled),
                .cells = {variant.name, fmt::format("{}", compiled.epochs),
                          std::to_string(compiled.train.graphs.nominal_batch),
                          std::to_string(compiled.steps), fmt::format("{}", compiled.parameters),
                          si_text(double(compiled.macs)), bytes_text(compiled.peak_bytes),
                          bytes_text(compiled.data_bytes)},
                .budget = compiled.train.step.budget,
                .data = data_text(compiled.train.graphs),
                .failure = nullptr};
    if (calibration_) {
      const double seconds = predicted_seconds(compiled, calibration_->model);
      out.cells.push_back(duration_text(seconds));
      out.json["predicted_seconds"] = seconds;
    }
    return out;
  }

  const Study& study_;
  const Arguments& arguments_;
  ProgramCache cache_;
  std::optional<Calibration> calibration_;
};

ExitCode plan(const Arguments& arguments, Streams& streams) {
  const Study study = read_study(arguments.study);
  Planner planner(study, arguments);
  Json variants = Json::array();
  std::vector<std::vector<std::string>> rows{
      {"variant", "epochs", "batch", "steps", "parameters", "MACs", "memory", "data"}};
  std::vector<bool> right = {false, true, true, true, true, true, true, true};
  std::vector<Planned> all = planner.plan_all();
  const bool has_budget = std::ranges::any_of(all, [](const Planned& p) { return !!p.budget; });
  if (planner.calibration()) {
    rows.front().emplace_back("time");
    right.push_back(true);
  }
  if (has_budget) {
    for (const char* name : {"budget", "again", "work"}) {
      rows.front().emplace_back(name);
      right.push_back(true);
    }
  }
  std::vector<std::pair<std::string, std::vector<std::string>>> data;  // text, variants
  std::vector<VariantIdentity> identities;
  for (Planned& planned : all) {
    const std::string& name = planned.cells.front();
    if (data.empty() || data.back().first != planned.data) data.push_back({planned.data, {}});
    data.back().second.push_back(name);
    identities.push_back(std::move(planned.identity));
    variants.push_back(std::move(planned.json));
    rows.push_back(std::move(planned.cells));
    if (has_budget)
      std::ranges::move(budget_cells(planned.budget), std::back_inserter(rows.back()));
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
  if (has_budget) {
    fmt::print(streams.out,
               "budget: of memory. again: values that are made again for it. work: "
               "operations that this adds.\n");
  }
  if (planner.calibration()) {
    fmt::print(streams.out, "time: of training with its tests, predicted; {}.\n",
               calibration_text(*planner.calibration()));
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
