// passes: functions Graph -> Graph. Each is pure; the pipeline (pass.cpp) times, verifies, dumps.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/ir/graph.h"
#include "core/passes/target.h"

namespace expgraph {

/// Gradients of the scalar `of` with respect to `with_respect_to` (leaves), in that order, added
/// to `graph` as ordinary nodes; a value used twice gets the sum. Invalid where there is no path.
/// Only what those gradients need is added. Where `seed` (a scalar) is given they are times it.
/// Error when an op on the way has no gradient rule.
std::vector<ValueId> differentiate(Graph& graph, ValueId of,
                                   std::span<const ValueId> with_respect_to, ValueId seed = {});

/// What an optimiser node says (an op with OpRole::optimiser), for make_step.
struct OptimiserSpec {
  std::string path;              ///< of the spec node: "train/update"
  const OpSchema* op = nullptr;  ///< "sgd"
  Attributes attributes;
  ValueId loss;
  ValueId lr;                           ///< scalar
  std::vector<ValueId> inputs;          ///< all of the node's, by its op; invalid = absent
  bool takes_rest = true;               ///< updates what no other optimiser names
  std::vector<std::string> parameters;  ///< states, unless it takes the rest
  Location where;
};

/// What a group node says (OpRole::group): factors for some parameters.
struct ParameterGroup {
  std::string path;
  std::vector<std::string> parameters;  ///< states
  double lr = 1;                        ///< times the learning rate; 0 without schedule: frozen
  double weight_decay = 1;              ///< times the optimiser's
  ValueId schedule;                     ///< a further factor of lr, scalar; may be absent
  Location where;
};

/// What an average node says (OpRole::average).
struct AverageSpec {
  std::string path;
  const OpSchema* op = nullptr;  ///< "ema"
  Attributes attributes;
  ValueId decay;       ///< scalar; absent: attribute `decay`, a step
  ValueId when, last;  ///< scalars, see AverageContext
  Location where;
};

/// What a loss_scale node says (OpRole::loss_scale).
struct LossScaleSpec {
  std::string path;
  Attributes attributes;
  Location where;
};

/// All that a training says beside its forward graph.
struct TrainingSpec {
  std::vector<OptimiserSpec> optimisers;
  std::vector<ParameterGroup> groups;
  std::vector<AverageSpec> averages;
  std::optional<LossScaleSpec> loss_scale;
  /// The values of the forward graph that it speaks of.
  std::vector<ValueId*> values();
};

/// Forward graph -> forward, backward and update: differentiates each loss with respect to the
/// trainable states of its optimisers, adds one update node a parameter (sgd -> sgd_update with its
/// momentum state "<parameter>/momentum"), the averages of what changes, and the state updates.
/// With loss_scale: losses are differentiated times the state "<path>/scale"; where a gradient is
/// not finite, no update changes a state but averages and the scale.
/// Error when a loss reaches no parameter.
Graph make_step(Graph forward, const TrainingSpec& training);

/// Algebra that does not change a result beyond rounding (each rule is a line in the file's head):
/// max_pool(relu) -> relu(max_pool), scale of scale, scale by 1, double flatten, common
/// subexpressions, dead nodes (states that only dead nodes read stay: they are the user's).
/// `followed`: values kept besides results and updates; replaced by their ids in what is returned.
Graph simplify(const Graph& graph, std::span<ValueId> followed = {});

/// Where the step needs most memory, an activation of batch_norm(x) that waits for a later reader
/// is not kept: batch_norm_apply and the activation run again right before that reader (Chen et
/// al., 2016, arXiv 1604.06174). Done only as far as it lowers the peak, given what the target
/// fuses; for the gradient of gelu wherever the target fuses the two.
Graph recompute(const Graph& graph, const Target& target);

/// What `memory` of a pipeline says.
struct MemoryBudget {
  int64_t bytes = 0;  ///< that MemoryPlan::peak_bytes of a training step may be
  std::string text;   ///< as it was written
  Location where;
};

/// What a step does for its budget.
struct BudgetReport {
  int64_t bytes = 0;          ///< of the budget
  int64_t bytes_without = 0;  ///< planned without it
  int64_t values = 0;         ///< made again for it
  double work = 0;            ///< operations that this adds, as a share of the step's
};

/// As recompute, and when the plan of that, made by the passes after this one and plan_memory,
/// takes more than the budget: values that are dear to make again are dropped as well, until it
/// does not (Chen et al., 2016). Each is made again by the operators and from the values that made
/// it, so it has the same bits. Error at the budget when it cannot be kept to.
Graph recompute(const Graph& graph, const Target& target, const MemoryBudget& budget,
                BudgetReport& report);

/// Chains that the target runs as one node -> fusion nodes with a body graph. Inputs: what the
/// members read from outside, by first use, each once; they are the body's leaves. Results of the
/// body: every output of a member that is read outside, in the members' order.
Graph fuse(const Graph& graph, const Target& target);

/// Updates of states as early as they may run: each right after its gradient and the last reader of
/// the old state, so that no gradient waits for the end of the step. Changes the order only.
Graph update_early(const Graph& graph);

/// Every f32 value and state as f64: for finite differences on the reference backend.
Graph to_double(const Graph& graph);

/// Copies nodes of `from` into a new graph one by one; passes override what they change.
class Rewriter {
 public:
  using Rename = std::function<std::string(const std::string&)>;
  /// `rename`: leaf name -> its name in the new graph; empty: all keep theirs.
  explicit Rewriter(const Graph& from, const Rename& rename = {});
  Graph& graph() { return to_; }
  ValueId map(ValueId old) const {
    return map_[static_cast<size_t>(old.index)];
  }  ///< invalid stays invalid
  void set(ValueId old, ValueId now) { map_[static_cast<size_t>(old.index)] = now; }
  NodeId copy(NodeId old);  ///< the same node over mapped inputs; maps its outputs
  Graph finish();           ///< results and updates, mapped

 private:
  const Graph& from_;
  Graph to_;
  std::vector<ValueId> map_;
};

/// One stage of the walk, for --dump and timings.
struct PassReport {
  std::string name;
  double seconds = 0;
  bool changed = false;
};

struct PassOptions {
  bool simplify = true;
  bool fuse = true;
  std::optional<MemoryBudget> memory = {};  ///< of a training step
  BudgetReport* budget_report = nullptr;    ///< written where there is a budget
  std::function<void(std::string_view stage, const Graph&, bool changed)> dump;  ///< may be empty
  std::vector<PassReport>* reports = nullptr;
};

/// simplify -> make_step and simplify (when a training is given) -> recompute (when the target or a
/// budget asks) -> fuse -> update_early (when it asks), each verified. Error when the target does
/// not compute in a type of the graph.
Graph run_passes(Graph forward, const TrainingSpec* training, const Target& target,
                 const PassOptions& options);

}  // namespace expgraph
