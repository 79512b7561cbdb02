// study: variants and seeds -> runs, their results, and the table in the run store.
#include "core/study/study.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/backend.h"
#include "core/study/code_version.h"
#include "core/study/expectations.h"
#include "core/study/machine.h"
#include "core/study/study_file.h"
#include "core/study/table.h"

namespace expgraph {
namespace {

/// What is known of a variant before it runs.
struct Prepared {
  std::string spec;  ///< canonical YAML
  std::string data;
  std::string graph;  ///< text of the training step
};

class StudyRun {
 public:
  StudyRun(const Study& study, Fs& fs, const StudyRunOptions& options)
      : study_(study),
        fs_(fs),
        options_(options),
        folder_(study_folder(options.runs, study.name)),
        backend_(load_backend(options.backend)),
        datasets_(options.data) {}

  StudyOutcome go() {
    for (const Variant& variant : study_.variants) prepare(variant);
    describe();
    try {
      for (int seed = 0; seed < study_.seeds; ++seed) {
        for (size_t k = 0; k < study_.variants.size(); ++k) run(k, seed);
      }
    } catch (const Error& error) {
      if (error.code() != ExitCode::interrupted) throw;
      note(error.what());
      outcome_.interrupted = true;
    } catch (const StopAfterFailure&) {
    }
    write_study(fs_, folder_, outcome_.result);
    outcome_.unmet = unmet_expectations(study_, outcome_.result);
    return std::move(outcome_);
  }

 private:
  struct StopAfterFailure {};

  void note(const std::string& text) const {
    if (options_.observer.note) options_.observer.note(text);
  }

  void prepare(const Variant& variant) {
    try {
      const OpenPipeline open =
          open_pipeline(variant.spec, {.backend = options_.backend}, datasets_);
      const auto& test = open.compiled.test;
      check_expectations(variant, open.compiled.train.graphs, test ? &test->graphs : nullptr);
      prepared_.push_back({.spec = to_yaml(variant.spec),
                           .data = open.data_identity(),
                           .graph = to_text(open.compiled.train.step.graph)});
    } catch (Error& error) {
      if (study_.variants.size() == 1) throw;
      throw error.note(fmt::format("in variant '{}'", variant.name), variant.where);
    }
  }

  void describe() {
    StudyResult& result = outcome_.result;
    result = {.study = study_.name,
              .note = study_.note,
              .profile = study_.profile,
              .backend = options_.backend,
              .command = options_.command,
              .variants = {}};
    const auto settings = settings_of(study_.variants);
    for (size_t k = 0; k < study_.variants.size(); ++k) {
      const Variant& variant = study_.variants[k];
      result.variants.push_back({.name = variant.name,
                                 .title = variant.title,
                                 .note = variant.note,
                                 .base = variant.base,
                                 .settings = settings[k],
                                 .runs = {}});
    }
  }

  RunIdentity identity_of(size_t k, int seed) const {
    return {.spec = prepared_[k].spec,
            .data = prepared_[k].data,
            .seed = seed,
            .backend = options_.backend,
            .code = code_version(options_.backend)};
  }

  void run(size_t k, int seed) {
    if (options_.stop != nullptr && *options_.stop) {
      throw Error("interrupted", {}, ExitCode::interrupted);
    }
    const Variant& variant = study_.variants[k];
    const std::string title = fmt::format("{} seed {}", variant.name, seed);
    RunFolder folder(fs_, folder_, variant.name, identity_of(k, seed));
    if (options_.fresh) folder.clear();
    std::vector<SeedResult>& runs = outcome_.result.variants[k].runs;
    runs.push_back({.seed = seed,
                    .folder = folder.relative(),
                    .record = std::nullopt,
                    .machine = machine_name(),
                    .error = ""});
    SeedResult& run = runs.back();
    if (auto summary = folder.finished()) {
      if (options_.explain) note(fmt::format("{}: reused, {}", title, run.folder));
      run.record = std::move(summary->record);
      run.machine = std::move(summary->machine);
      run.reused = true;
      return;
    }
    if (options_.explain) {
      const std::string why = options_.fresh ? "asked for afresh" : folder.why_due();
      note(fmt::format("{}: due, {}", title, why));
    }
    if (options_.start) {
      const size_t variants = study_.variants.size();
      options_.start(fmt::format("{}/{} {}", static_cast<size_t>(seed) * variants + k + 1,
                                 variants * static_cast<size_t>(study_.seeds), title));
    }
    train(k, seed, folder, run);
  }

  void train(size_t k, int seed, RunFolder& folder, SeedResult& run) {
    const Variant& variant = study_.variants[k];
    folder.begin(files_of(k, seed), facts());
    RunOptions options{.seed = static_cast<uint64_t>(seed),
                       .threads = options_.threads,
                       .checkpoints = folder.checkpoints().string(),
                       .stop = options_.stop,
                       .observer = options_.observer};
    options.observer.epoch = [&](const RunRecord& record) {
      folder.write_epoch(record);
      if (options_.observer.epoch) options_.observer.epoch(record);
    };
    try {
      run.record = run_pipeline(variant.spec, backend_, datasets_, fs_, options);
      folder.finish(*run.record, run.machine);
    } catch (const Error& error) {
      if (error.code() != ExitCode::run_failed) throw;
      run.error = error.what();
      ++outcome_.failed;
      note(error.render());
      note(fmt::format("{} seed {} failed", variant.name, seed));
      if (options_.fail_fast) throw StopAfterFailure();
    }
  }

  std::vector<RunFile> files_of(size_t k, int seed) const {
    const Variant& variant = study_.variants[k];
    std::string spec =
        fmt::format("# study {}, variant {}, seed {}\n", study_.name, variant.name, seed);
    if (!options_.command.empty()) spec += fmt::format("# made by: {}\n", options_.command);
    std::vector<RunFile> files = {{"spec.yaml", spec + prepared_[k].spec},
                                  {"graph.txt", prepared_[k].graph}};
    if (options_.draw) {
      for (RunFile& file : options_.draw(variant)) files.push_back(std::move(file));
    }
    return files;
  }

  std::vector<std::pair<std::string, std::string>> facts() const {
    auto out = machine_facts();
    out.emplace_back("backend", backend_.describe());
    out.emplace_back("threads",
                     options_.threads == 0 ? "all" : fmt::format("{}", options_.threads));
    return out;
  }

  const Study& study_;
  Fs& fs_;
  const StudyRunOptions& options_;
  std::filesystem::path folder_;
  const Backend& backend_;
  OpenDatasets datasets_;
  std::vector<Prepared> prepared_;
  StudyOutcome outcome_;
};

}  // namespace

ExitCode StudyOutcome::code() const {
  if (interrupted) return ExitCode::interrupted;
  if (failed > 0) return ExitCode::run_failed;
  return unmet.empty() ? ExitCode::done : ExitCode::expectation;
}

StudyOutcome run_study(const Study& study, Fs& fs, const StudyRunOptions& options) {
  return StudyRun(study, fs, options).go();
}

std::vector<std::vector<std::pair<std::string, std::string>>> settings_of(
    const std::vector<Variant>& variants) {
  constexpr std::string_view kSide = "train";
  const auto setting_name = [&](const SpecNode& node, const AttributeSpec& attribute) {
    if (node.path == kSide) return attribute.name;
    const std::string below = node.path.substr(kSide.size() + 1);
    return below.find('/') == std::string::npos ? below + "." + attribute.name : std::string();
  };
  std::vector<std::string> names;  // in the order in which they are met
  std::vector<std::map<std::string, std::string>> values(variants.size());
  for (size_t k = 0; k < variants.size(); ++k) {
    for (const SpecNode& node : variants[k].spec.nodes) {
      if (node.path != kSide && !node.path.starts_with(std::string(kSide) + "/")) continue;
      for (const AttributeSpec& attribute : node.attributes) {
        const std::string name = setting_name(node, attribute);
        if (name.empty()) continue;
        if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
        std::string text = yaml::to_text(attribute.value);
        text.erase(text.find_last_not_of('\n') + 1);
        values[k][name] = std::move(text);
      }
    }
  }
  std::erase_if(names, [&](const std::string& name) {
    return std::all_of(values.begin(), values.end(),
                       [&](auto& own) { return own[name] == values.front()[name]; });
  });
  std::vector<std::vector<std::pair<std::string, std::string>>> out(variants.size());
  for (size_t k = 0; k < variants.size(); ++k) {
    for (const std::string& name : names) out[k].emplace_back(name, values[k][name]);
  }
  return out;
}

}  // namespace expgraph
