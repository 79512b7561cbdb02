// choices: (seed, name, epoch) -> the order of samples and every random choice of an epoch, in
// bulk. Counter-based (Philox 4x32-10; Salmon et al., SC 2011), so there is no generator state to
// save.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/ir/graph.h"

namespace expgraph {

/// A permutation of 0 .. count-1: a pure function of (seed, name, epoch).
std::vector<int32_t> sample_order(uint64_t seed, std::string_view name, int64_t epoch,
                                  int64_t count);

/// i32[count, bounds.size()], row s the choice of sample s (not of position s).
std::vector<int32_t> draw_choices(uint64_t seed, std::string_view name, int64_t epoch,
                                  int64_t count, const ChoiceRule& rule);

/// Fills a state's start values: keyed by seed and name.
void initialise(uint64_t seed, std::string_view name, const Initialiser& initialiser,
                const TensorType& type, void* data);

}  // namespace expgraph
