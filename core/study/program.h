// program: a compiled pipeline -> what proves that two of them do the same.
#pragma once

#include <string>

#include "core/compile.h"

namespace expgraph {

/// Hashes of all that a run does, apart from the content of its data sets, the seed, and the code.
/// Equal hashes of `training` give equal weights, equal hashes of both equal runs, to the bit: the
/// texts are those of the compiled graphs, whose attributes are complete and typed, with the
/// schedules that the step reads, the order of samples, the metrics and the lengths.
struct ProgramIdentity {
  std::string training;
  std::string evaluation;  ///< "" without a test side
  bool operator==(const ProgramIdentity&) const = default;
};
ProgramIdentity identify(const CompiledPipeline& compiled);

}  // namespace expgraph
