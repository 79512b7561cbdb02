// attribution: results of sets of edits -> what each edit gives: in the ladder, alone, when it is
// left out, and on average over the orders in which edits can be made (Shapley, 1953).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/study/result.h"
#include "core/study/statistics.h"

namespace expgraph {

/// What is measured of each edit, paired by seed; n = 0 where runs are missing.
struct EditEffect {
  Interval ladder;       ///< on top of the edits before it in the file
  Interval alone;        ///< on top of none
  Interval left_in;      ///< on top of all others: what is lost when it is left out
  Interval shapley;      ///< mean over the orders of the plan; n: orders that are complete
  int inapplicable = 0;  ///< sets that have it and in which it could not be made
};

/// How much two edits give together beyond what they give apart.
struct Interaction {
  int a = 0, b = 0;
  Interval effect;  ///< n: sets on top of which it was measured
};

/// Of one figure: the main metric, or seconds of training.
struct Attribution {
  std::string figure;
  bool percent = false;
  std::vector<EditEffect> edits;
  Interval whole;  ///< all edits against none; n: seeds
  double shapley_sum = 0;
  std::vector<Interaction> interactions;  ///< strongest first, relative to their intervals' centre
};

struct AttributionTable {
  std::string study, profile, backend;
  std::vector<std::string> edits;
  int orders = 0;
  bool exact = false;
  int sets = 0, seeds = 0;
  std::vector<Attribution> figures;
};

/// Error (usage) when the result is not of a study that was run for it.
AttributionTable attribute(const StudyResult& result);

std::string to_terminal(const AttributionTable& table);
nlohmann::ordered_json to_json(const AttributionTable& table);

/// Mean of samples[unit][seed] over units (orders, sets) and seeds; NaN where one is missing: its
/// whole unit is left out. The interval adds the variance of the mean over units, unless `exact`
/// says that these are all there are, to that of the mean over seeds, with degrees of freedom by
/// Welch and Satterthwaite; one unit or one seed adds none. n: units used.
Interval two_way_interval(const std::vector<std::vector<double>>& samples, bool exact);

}  // namespace expgraph
