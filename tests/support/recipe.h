// recipe: a variant of a study of this tree, compiled, and what its schedules say.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "core/compile.h"
#include "core/spec/study_spec.h"
#include "core/train/schedules.h"

namespace expgraph {

/// Variants of experiments/`file`.yaml in a profile: all of them, or one.
inline Study recipes(const std::string& file, const std::string& variant = "",
                     const std::string& profile = "cifar10") {
  StudyOptions options{.profile = profile, .only = {}, .set = {}, .seeds = {}};
  if (!variant.empty()) options.only = {variant};
  return read_study(EXPGRAPH_SOURCE_DIR "/experiments/" + file + ".yaml", options, op_names());
}

inline CompiledPipeline compiled_recipe(const std::string& file, const std::string& variant) {
  const Study study = recipes(file, variant);
  REQUIRE(study.variants.size() == 1);
  return compile_pipeline(study.variants[0].spec);
}

/// What the step reads from the schedule of a leaf, at a step of training.
inline double schedule_at(const CompiledPipeline& compiled, std::string_view leaf, int64_t step) {
  for (const ScheduleSpec& schedule : compiled.train.graphs.schedules) {
    if (schedule.leaf != leaf) continue;
    return schedule_value(*schedule.op, schedule.attributes,
                          {step, compiled.steps_per_epoch, compiled.steps});
  }
  FAIL("no schedule ", leaf);
  return 0;
}

}  // namespace expgraph
