// executable: Graph and MemoryPlan -> a program of kernels over tensors on the device.
#pragma once

#include <chrono>

#include "backends/libtorch/device.h"
#include "backends/libtorch/schedule.h"
#include "backends/libtorch/store.h"

namespace expgraph::libtorch {

class TorchExecutable final : public Executable {
 public:
  /// The graph outlives this; stores are TorchStores. Error when a node has no kernel or the values
  /// do not fit into the memory that is free.
  TorchExecutable(const Graph& graph, const MemoryPlan& plan, const CompileOptions& options,
                  const Device& device);
  ~TorchExecutable() override;

  void run(std::span<const Binding> inputs, std::span<const Binding> results,
           StateStore& store) override;
  void wait() override;
  /// As planned: the tensors come from ATen's allocator, which keeps what it once had.
  int64_t workspace_bytes() const override { return plan_.arena_bytes; }
  std::vector<NodeTime> profile() const override { return times_; }
  std::optional<NodeId> first_non_finite() const override { return first_non_finite_; }

 private:
  /// What the k-th inputs of a group of updates are.
  struct FlatInput {
    ValueId shared;                   ///< the same scalar for all; else invalid
    std::vector<std::string> states;  ///< one a node; else empty
    std::vector<ValueId> values;      ///< one a node: copied into `views` of `tensor`
    std::vector<at::Tensor> views;
    at::Tensor tensor;
  };
  /// States that the outputs of a group of updates are written into, one a node.
  struct FlatOutput {
    size_t output;  ///< which of the kernel's
    std::vector<std::string> states;
    at::Tensor tensor;
  };
  struct Step {
    Group nodes;
    Kernel kernel;
    std::vector<FlatInput> flat;        ///< of a group of many nodes, per input
    std::vector<FlatOutput> flat_made;  ///< of such a group, what is not written over its inputs
    std::vector<ValueId> read_last;     ///< values that no later step reads
    std::vector<at::Tensor> arguments;  ///< of the run under way
  };

  bool is_read(const Group& group, const Uses& uses) const;
  void add_step(const Group& group, const Uses& uses);
  void make_flat(Step& step);
  void plan_releases(const Uses& uses);
  void run_bound(std::span<const Binding> inputs, std::span<const Binding> results,
                 TorchStore& store);
  void bind(std::span<const Binding> inputs, TorchStore& store);
  void run_all();
  void run_step(Step& step);
  bool may_repeat(const Step& step) const;
  void run_node(Step& step);
  void run_flat(Step& step);
  void observe(const Step& step);
  at::Tensor& slot(ValueId value) { return slots_[static_cast<size_t>(value.index)]; }

  const Graph& graph_;
  MemoryPlan plan_;
  CompileOptions options_;
  Device device_;
  int threads_;
  std::shared_ptr<Launcher> launcher_;  ///< null where each run is waited for
  std::vector<Step> steps_;
  std::vector<at::Tensor> slots_;    // per value
  std::vector<at::Tensor> results_;  // per result
  std::vector<void*> addresses_;     // of the leaves, at the last run
  std::vector<NodeTime> times_;
  std::chrono::steady_clock::time_point start_;  // of the run
  std::optional<NodeId> first_non_finite_;
};

}  // namespace expgraph::libtorch
