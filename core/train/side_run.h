// side_run: one side of a compiled pipeline -> its steps over a store, and their metrics.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/ir/op_schema.h"
#include "core/train/batches.h"
#include "core/train/record.h"

namespace expgraph {

/// What a side works in, as planned, bytes.
struct SideMemory {
  int64_t states = 0;
  int64_t step = 0;     ///< arena of the step and scratch of its kernels
  int64_t batches = 0;  ///< that are made and waited for
  int64_t feed = 0;     ///< arena of the programs that make them
  int64_t samples = 0;  ///< prepared once
  int64_t total() const { return states + step + batches + feed + samples; }
};

class SideRun {
 public:
  struct Source {
    const SidePrograms& full;
    const SidePrograms* rest = nullptr;  ///< of the last, smaller batch; null when there is none
    std::shared_ptr<const Dataset> data;
    const Backend& backend;
    CompileOptions options;
    uint64_t seed = 0;
    std::string side;  ///< "train" or "test"
  };
  explicit SideRun(Source source);

  Batches batches;

  const SideGraphs& graphs() const { return source_.full.graphs; }
  const std::vector<MetricInfo>& metric_infos() const { return infos_; }
  /// Makes the states that the store does not have, with their start values; those that follow from
  /// samples are worked out here.
  void create_states(StateStore& store) const;

  /// Starts an epoch (counts from 0): its batches, its metrics. To schedules its steps are those
  /// of `first` and after.
  void begin(int64_t epoch, const ScheduleTime& first, int64_t steps);
  /// The next step. False when it is known that a metric is NaN or Inf; a device may tell later.
  bool step(StateStore& store);
  /// Waits for the steps since begin; the first of them of which a metric is NaN or Inf.
  std::optional<int64_t> finish();

  /// Per sample, of the steps since begin that were waited for, in the order of metric_infos.
  std::vector<double> metrics() const;
  int64_t samples() const { return samples_; }  ///< since begin
  SideMemory memory() const;                    ///< after batches.prepare
  /// Of the last step that was waited for, per sample; none before the first.
  std::optional<double> last_loss() const;
  /// Of the first optimiser; 0 when the side has none.
  double learning_rate(const ScheduleTime& time) const;

  /// From now on every value is looked at, which is slower; see first_bad_node.
  void check_finite();
  /// Of the last step: the first node that gave NaN or Inf.
  const Node* first_bad_node() const;
  /// Of the last step, when compiled with `profile`: nodes of the full step's graph.
  std::vector<NodeTime> node_times() const { return last_->program->profile(); }
  /// The node whose value a state takes at the end of a step; null when it has none.
  const Node* writer_of(const std::string& state) const;

 private:
  struct Step {
    const SidePrograms* side = nullptr;
    std::unique_ptr<Executable> program;
  };
  Step compile(const SidePrograms& side) const;
  std::vector<MetricInfo> describe_metrics() const;
  void start_values(const Leaf& leaf, const TensorView& values) const;
  void write_schedules(const ScheduleTime& first, int64_t steps);
  void take_metrics(const float* values);

  Source source_;
  std::vector<MetricInfo> infos_;
  Buffer schedules_;  ///< [steps, schedules]; before the programs, which may still use it
  Buffer values_;     ///< [steps, metrics]
  Step full_, rest_;
  const Step* last_ = nullptr;
  std::vector<int64_t> sizes_;  ///< of the steps since begin
  size_t taken_ = 0;            ///< steps whose metrics are in totals_
  std::vector<double> totals_;  ///< summed over samples
  std::optional<double> last_loss_;
  std::optional<int64_t> bad_step_;
  int64_t samples_ = 0;
};

}  // namespace expgraph
