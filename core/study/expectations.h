// expectations: what a study says of its results, and the results -> what does not hold.
#pragma once

#include <string>
#include <vector>

#include "core/pipeline.h"
#include "core/spec/study_spec.h"
#include "core/study/result.h"

namespace expgraph {

/// Throws Error at an expectation whose metric is none of the variant's ("train/loss") and none of
/// seconds, parameters, macs, peak_bytes. `test` may be null.
void check_expectations(const Variant& variant, const SideGraphs& train, const SideGraphs* test);

/// One sentence for each expectation that the means over seeds do not meet: "batch_size:
/// test/accuracy is 0.71, expected at least 0.83". Variants without a finished run are passed over.
/// `same` holds when the 95 % interval of the paired differences has 0 in it (two seeds or more),
/// or the change is below 1 % of the base.
std::vector<std::string> unmet_expectations(const Study& study, const StudyResult& result);

}  // namespace expgraph
