// study_plan: compiled variants -> which of them are the same run, and what differs in their
// settings.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/spec/study_spec.h"
#include "core/study/program.h"

namespace expgraph {

/// What tells a variant's runs from those of another.
struct VariantIdentity {
  ProgramIdentity program;
  std::string data;       ///< identity of the data set that it trains on
  std::string test_data;  ///< "" without a test side
};

constexpr size_t kNone = static_cast<size_t>(-1);

/// What the variants before it save a variant: indices, kNone where there is none.
struct Sharing {
  size_t same_as = kNone;     ///< the first with an equal identity: a no-op
  size_t trained_as = kNone;  ///< the first with the same training and another evaluation
};
std::vector<Sharing> find_sharing(const std::vector<VariantIdentity>& variants);

/// "'b' compiles to the same programs as 'a': a no-op, run once", or "'b' trains as 'a': its
/// evaluation alone is run", a line for each.
std::vector<std::string> sharing_lines(const std::vector<Sharing>& sharing,
                                       const std::vector<Variant>& variants);

/// Attributes of `train` and of the nodes directly in it, one list a variant, names without
/// "train/": "epochs", "batch.size". Only those that differ between variants.
std::vector<std::vector<std::pair<std::string, std::string>>> settings_of(
    const std::vector<Variant>& variants);

}  // namespace expgraph
