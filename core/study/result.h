// result: what a study has so far, by variant and seed.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/spec/coalitions.h"
#include "core/train/record.h"

namespace expgraph {

/// One seed of a variant. Without a record it failed, or has not been run.
struct SeedResult {
  int64_t seed = 0;
  std::string folder;  ///< below the study's: "batch_size/0-1f0c4a6d52b7"
  std::optional<RunRecord> record;
  std::string machine;  ///< where its times were taken
  std::string error;    ///< why it failed
  bool reused = false;  ///< was finished before this study was asked for
  std::string from;  ///< run whose record or weights it has taken: "study/a/0-1f0c…"; "" = none
};

struct VariantResult {
  std::string name;
  std::string title;
  std::string note;
  std::string base;  ///< variant that it is compared with; "" for none
  /// Attributes of the pipeline's own nodes that differ between variants: "batch.size" -> "512";
  /// the same names, in the same order, in every variant; "" where a variant has none.
  std::vector<std::pair<std::string, std::string>> settings;
  std::string same_as;  ///< variant before it whose compiled programs are equal: it is a no-op
  std::optional<Coalition> coalition = {};  ///< of a study for attribution
  std::vector<int> inapplicable = {};       ///< edits of it that could not be made
  std::vector<SeedResult> runs;
};

struct StudyResult {
  std::string study;
  std::string note;
  std::string profile;  ///< "" when it has none
  std::string backend;
  std::string command;
  std::string target;  ///< "test/accuracy >= 0.94"; "" for none
  std::optional<AttributionPlan> attribution = {};
  std::vector<VariantResult> variants;

  const VariantResult* find(std::string_view variant) const;
};

}  // namespace expgraph
