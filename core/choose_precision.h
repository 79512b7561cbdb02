// choose_precision: `precision: auto` -> what a training step is fastest in here, measured.
#pragma once

#include <optional>
#include <string>

#include "core/backend.h"
#include "core/spec/graph_spec.h"

namespace expgraph {

struct PrecisionChoice {
  std::string name;  ///< "fp32" or "bf16"
  std::string text;  ///< both times, and how they were measured
};

/// Nothing when the pipeline does not ask: its precision is not `auto`. bf16 where the backend
/// computes in it and a step then takes less than 0.9 times that of fp32; fp32 else. (fp16 needs
/// loss_scale, and so is never chosen.) Steps run on random bytes, as in bench(). Errors: those of
/// compile_pipeline, where neither precision compiles.
std::optional<PrecisionChoice> choose_precision(const FlatSpec& pipeline, const Backend& backend,
                                                int threads);

/// The pipeline in that precision.
FlatSpec in_precision(FlatSpec pipeline, const std::string& name);

}  // namespace expgraph
