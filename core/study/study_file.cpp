// study_file: what a study has so far <-> runs/<study>/study.json, and its table as text.
#include "core/study/study_file.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/study/study.h"
#include "core/study/table.h"

namespace expgraph {
namespace {

using nlohmann::ordered_json;

constexpr const char* kFile = "study.json";
constexpr int64_t kLimit = int64_t{16} << 20;

ordered_json to_json(const VariantResult& variant) {
  ordered_json settings = ordered_json::object();
  for (const auto& [name, value] : variant.settings) settings[name] = value;
  ordered_json runs = ordered_json::array();
  for (const SeedResult& run : variant.runs) {
    runs.push_back({{"seed", run.seed}, {"folder", run.folder}, {"error", run.error}});
  }
  ordered_json out = {{"name", variant.name}, {"title", variant.title},
                      {"note", variant.note}, {"base", variant.base},
                      {"settings", settings}, {"same_as", variant.same_as}};
  if (variant.coalition) {
    out["coalition"] = *variant.coalition;
    out["inapplicable"] = variant.inapplicable;
  }
  out["runs"] = runs;
  return out;
}

VariantResult read_variant(Fs& fs, const std::filesystem::path& folder, const ordered_json& json) {
  VariantResult out{.name = json.at("name"),
                    .title = json.at("title"),
                    .note = json.at("note"),
                    .base = json.at("base"),
                    .settings = {},
                    .same_as = json.at("same_as"),
                    .runs = {}};
  for (const auto& [name, value] : json.at("settings").items()) {
    out.settings.emplace_back(name, value);
  }
  if (json.contains("coalition")) {
    out.coalition = json.at("coalition").get<Coalition>();
    out.inapplicable = json.at("inapplicable").get<std::vector<int>>();
  }
  for (const auto& entry : json.at("runs")) {
    SeedResult run{.seed = entry.at("seed"),
                   .folder = entry.at("folder"),
                   .record = std::nullopt,
                   .machine = "",
                   .error = entry.at("error"),
                   .reused = true};
    if (auto summary = read_summary(fs, folder / run.folder)) {
      run.record = std::move(summary->record);
      run.machine = std::move(summary->machine);
      run.from = std::move(summary->from);
      run.error.clear();
    }
    out.runs.push_back(std::move(run));
  }
  return out;
}

}  // namespace

void write_study(Fs& fs, const std::filesystem::path& folder, const StudyResult& result) {
  ordered_json json = {{"study", result.study},
                       {"note", result.note},
                       {"profile", result.profile},
                       {"backend", result.backend},
                       {"command", result.command},
                       {"target", result.target},
                       {"variants", ordered_json::array()}};
  if (const auto& plan = result.attribution) {
    json["attribution"] = {
        {"edits", plan->edits}, {"orders", plan->orders}, {"exact", plan->exact}};
  }
  for (const VariantResult& variant : result.variants) json["variants"].push_back(to_json(variant));
  const Table table = make_table(result);
  fs.make_folder(folder);
  fs.replace(folder / kFile, json.dump(2) + "\n");
  fs.replace(folder / "table.md", to_markdown(table));
  fs.replace(folder / "table.tsv", to_tsv(table));
  fs.replace(folder / "table.tex", to_latex(table));
  fs.replace(folder / "table.json", to_json(table).dump(2) + "\n");
}

StudyResult load_study(Fs& fs, const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kFile;
  std::error_code none;
  if (!std::filesystem::exists(path, none)) {
    throw Error(fmt::format("there is no study in '{}': no {}", folder.string(), kFile), {},
                ExitCode::environment)
        .note("'expgraph run FILE' makes one");
  }
  const ordered_json json = ordered_json::parse(fs.read(path, kLimit), nullptr, false);
  try {
    StudyResult out{.study = json.at("study"),
                    .note = json.at("note"),
                    .profile = json.at("profile"),
                    .backend = json.at("backend"),
                    .command = json.at("command"),
                    .target = json.at("target"),
                    .variants = {}};
    if (json.contains("attribution")) {
      const ordered_json& plan = json.at("attribution");
      out.attribution = AttributionPlan{
          .edits = plan.at("edits"), .orders = plan.at("orders"), .exact = plan.at("exact")};
    }
    for (const auto& variant : json.at("variants")) {
      out.variants.push_back(read_variant(fs, folder, variant));
    }
    return out;
  } catch (const ordered_json::exception&) {
    throw Error(fmt::format("'{}' is damaged; 'expgraph run' writes it again", path.string()), {},
                ExitCode::environment);
  }
}

}  // namespace expgraph
