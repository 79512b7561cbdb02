// fuzz_case: a seed -> an operator, or a chain that a target fuses, over tensors of odd sizes:
// channels 1 to 67, sides 1 to 33, batches 1 to 65.
#pragma once

#include "core/passes/target.h"
#include "tests/support/op_case.h"

namespace expgraph::test {

/// Seeds below this give cases that take milliseconds; of those from it on some have maps of up to
/// two million elements.
inline constexpr uint32_t kSmallSeeds = 100'000;

/// The same case for the same seed and patterns. `patterns`: the fusions to draw chains from,
/// those that begin with a forward normalisation.
OpCase fuzz_case(uint32_t seed, const std::vector<FusionPattern>& patterns);

}  // namespace expgraph::test
