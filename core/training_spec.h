// training_spec: optimiser, group and average nodes -> what a training says beside its forward
// graph.
#pragma once

#include "core/build_graph.h"
#include "core/pipeline.h"

namespace expgraph {

/// Takes the nodes one by one while the forward graph grows; `finish` then knows every parameter.
class TrainingBuilder {
 public:
  TrainingBuilder(const FlatSpec& spec, GraphBuilder& builder, std::vector<ScheduleSpec>& schedules)
      : spec_(spec), builder_(builder), schedules_(schedules) {}

  void add_optimiser(const Instance& instance, const OpSchema& op);
  void add_group(const Instance& instance, const OpSchema& op);
  void add_average(const Instance& instance, const OpSchema& op);
  void add_loss_scale(const Instance& instance, const OpSchema& op);

  /// Throws Error when a selection means no parameter (nearest names), a parameter is updated by
  /// two optimisers or by none. Nothing when there is no optimiser.
  std::optional<TrainingSpec> finish();

 private:
  /// A node's attributes and wired inputs, checked by its operator.
  struct Read {
    Attributes attributes;
    std::vector<ValueId> inputs;
  };
  Read read(const Instance& instance, const OpSchema& op) const;
  ValueId add_every(const std::string& leaf, const AverageSpec& average, bool last);
  std::vector<std::string> selected(const SpecNode& node, const Attributes& attributes) const;
  [[noreturn]] void nothing_selected(const SpecNode& node, const Attributes& attributes,
                                     const std::vector<std::string>& on_path) const;
  void check_cover() const;

  const FlatSpec& spec_;
  GraphBuilder& builder_;
  std::vector<ScheduleSpec>& schedules_;
  TrainingSpec out_;
  std::vector<std::pair<const SpecNode*, Attributes>> groups_;  ///< of out_.groups
  std::vector<const SpecNode*> optimisers_;                     ///< of out_.optimisers
};

}  // namespace expgraph
