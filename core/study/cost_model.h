// cost_model: timed steps of a machine -> how long the steps of other graphs take there.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/bench.h"
#include "core/ir/graph.h"

namespace expgraph {

/// A node takes per_node + per_flop * its operations + per_byte * the bytes that it reads and
/// writes, in seconds; none is below 0.
struct NodeRate {
  double per_node = 0, per_flop = 0, per_byte = 0;
  double seconds(const Cost& cost) const;
};

/// A measured step: its nodes and the whole, in seconds.
struct TimedStep {
  std::string name;
  std::vector<TimedNode> nodes;
  double seconds = 0;
};

class CostModel {
 public:
  /// Rates by operator (or kind of fusion), by least squares of the relative errors; an operator
  /// that no step has takes the rate of all nodes together. The whole step is the sum of its nodes
  /// times `whole`, the median ratio over the steps.
  static CostModel fit(const std::vector<TimedStep>& steps);

  /// Seconds of running a graph once.
  double seconds(const Graph& graph) const;
  double seconds(const std::vector<TimedNode>& nodes) const;  ///< their own times are not read

  std::map<std::string, NodeRate> rates;  ///< by operator; "" for all others
  double whole = 1;
};

/// How far the model is from the truth: relative errors of the steps, each predicted by a model of
/// the others. 0 steps for fewer than two.
struct CostModelError {
  double median = 0, worst = 0;
  int64_t steps = 0;
};
CostModelError leave_one_out_error(const std::vector<TimedStep>& steps);

}  // namespace expgraph
