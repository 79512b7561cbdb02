// coalitions: how many edits a study has, how many orders to sample -> the sets of edits to run.
#pragma once

#include <string>
#include <vector>

namespace expgraph {

/// Numbers of edits, rising.
using Coalition = std::vector<int>;

/// Orders in which edits are made one after another, and every set of edits that is needed to
/// attribute a result to them: the starts of each order, the ladder (the starts of the file's own
/// order), each edit alone, and all but each.
struct AttributionPlan {
  std::vector<std::string> edits;        ///< titles, in the order of the file
  std::vector<std::vector<int>> orders;  ///< permutations of 0 .. edits.size()-1
  bool exact = false;                    ///< they are all that there are
};

/// `count` orders: all of them when there are no more, else sampled in couples, the second of which
/// has its neighbours swapped (0 1, 2 3, ...), so that interactions of neighbours can be told. The
/// same for the same numbers. `edits` may be at most 64.
AttributionPlan plan_attribution(std::vector<std::string> edits, int count);

/// The sets of a plan, smallest first, each once; the first is empty, the last has all.
std::vector<Coalition> coalitions_of(const AttributionPlan& plan);

/// "none", "all", or the numbers of its edits from 1: "1_3_4"; of most, those that it lacks:
/// "all_but_2".
std::string name_of(const Coalition& coalition, size_t edits);

}  // namespace expgraph
