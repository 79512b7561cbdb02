// tiny_study: a study of tiny pipelines on the reference backend, in a folder of the test's own.
#pragma once

#include <fmt/format.h>

#include "core/study/study.h"
#include "tests/support/tiny_pipeline.h"

namespace expgraph {

/// A study of variants of the tiny pipeline: name and parameters.
inline Study tiny_study(const std::vector<std::pair<std::string, std::string>>& variants,
                        int seeds) {
  Study study{
      .name = "tiny", .file = "", .note = "", .profile = "", .profiles = {}, .variants = {}};
  study.seeds = seeds;
  for (const auto& [name, values] : variants) {
    study.variants.push_back({.name = name,
                              .title = name,
                              .note = "",
                              .base = study.variants.empty() ? "" : study.variants.front().name,
                              .spec = tiny_spec(values),
                              .changes = {},
                              .expect = {},
                              .where = {}});
  }
  return study;
}

/// Options of a run in a folder; what it says is added to `notes`.
inline StudyRunOptions options_in(const TestFolder& folder, std::vector<std::string>& notes) {
  static const TestFolder cache;
  StudyRunOptions options;
  options.runs = folder.path.string();
  options.backend = "reference";
  options.command = "expgraph run tiny.yaml";
  options.threads = 1;
  options.data.cache = cache.path.string();
  options.start = [&notes](const std::string& title) { notes.push_back("start " + title); };
  options.observer.note = [&notes](const std::string& text) { notes.push_back(text); };
  return options;
}

inline std::string metrics_of(const StudyResult& result) {
  std::string out;
  for (const VariantResult& variant : result.variants) {
    for (const SeedResult& run : variant.runs) {
      out += fmt::format("{} {}:", variant.name, run.seed);
      if (!run.record) out += " none";
      if (run.record) {
        for (const EpochRecord& row : run.record->history) {
          for (const double value : row.metrics) out += fmt::format(" {}", value);
        }
      }
      out += "\n";
    }
  }
  return out;
}

}  // namespace expgraph
