// host_executor: one kernel per node -> an Executable in host memory. What a run means (bindings,
// arena, states, results, updates, profile, check_finite) is defined here once for all backends
// that compute on the host; they supply the kernels.
#pragma once

#include <chrono>
#include <functional>

#include "core/backend.h"
#include "core/host_store.h"

namespace expgraph {

/// What a kernel is given: one view per input and output of its node, in the node's order.
struct KernelArgs {
  std::span<const TensorView> inputs;   ///< data is null where an optional input is absent
  std::span<const TensorView> outputs;  ///< data is null where nobody reads the output
  std::byte* scratch = nullptr;         ///< the kernel's scratch_bytes, 64-byte aligned
};

struct Kernel {
  std::function<void(const KernelArgs&)> run;
  int64_t scratch_bytes = 0;  ///< needed while it runs
};

class HostExecutable final : public Executable {
 public:
  /// `kernels`: one per node, in order; a node of which nothing is read is not run. The graph
  /// outlives this; stores are HostStateStores.
  HostExecutable(const Graph& graph, MemoryPlan plan, std::vector<Kernel> kernels,
                 const CompileOptions& options);

  void run(std::span<const Binding> inputs, std::span<const Binding> results,
           StateStore& store) override;
  int64_t workspace_bytes() const override { return plan_.arena_bytes; }
  std::vector<NodeTime> profile() const override { return times_; }
  std::optional<NodeId> first_non_finite() const override { return first_non_finite_; }

 private:
  struct Step {
    std::vector<TensorView> inputs, outputs;
  };
  void resolve(std::span<const Binding> inputs, HostStateStore& store, std::byte* arena);
  void run_node(size_t node, std::byte* arena);
  bool may_repeat(size_t node) const;
  std::byte*& pointer(ValueId value) { return pointers_[static_cast<size_t>(value.index)]; }

  const Graph& graph_;
  MemoryPlan plan_;
  std::vector<Kernel> kernels_;
  CompileOptions options_;
  std::vector<Step> steps_;           // per node; types at once, pointers at each run
  std::vector<std::byte*> pointers_;  // per value
  std::vector<NodeTime> times_;
  std::chrono::steady_clock::time_point start_;  // of the run
  std::optional<NodeId> first_non_finite_;
};

/// Whether no element is NaN or Inf; true for integers.
bool all_finite(const TensorView& tensor);

}  // namespace expgraph
