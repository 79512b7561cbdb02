// roofline: a benched step -> its nodes under the machine's roof, as SVG (Williams, Waterman,
// Patterson 2009): operations a byte across, GFLOP/s up, both logarithmic.
#pragma once

#include <string>

#include "core/bench.h"

namespace expgraph {

/// One circle a node that computes, its area by its share of the time; a legend by operator. For a
/// file of its own: deterministic, without scripts and references, dark where the reader's
/// pages are. `result` was benched with limits.
std::string roofline_svg(const BenchResult& result, const std::string& title);

}  // namespace expgraph
