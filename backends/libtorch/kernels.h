// kernels: what a kernel maker of this backend is, and the list of them per operator family.
#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "backends/libtorch/aten.h"
#include "core/passes/plan_memory.h"

namespace expgraph::libtorch {

using Tensors = std::vector<at::Tensor>;

/// The node's inputs (undefined where absent) -> its outputs (undefined where nobody reads them).
/// Logical sizes are as typed; strides are the kernel's affair: maps have their channels last.
/// Inputs are left as they are but for those that MakerContext::over allows to write.
using Kernel = std::function<Tensors(std::span<const at::Tensor> inputs)>;

/// What a maker sees of the program around its node.
struct MakerContext {
  const Graph& graph;
  const Node& node;
  at::Device device;
  const MemoryPlan* plan = nullptr;       ///< in the body of a fusion: null, or placements alone
  std::vector<bool> read_outputs = {};    ///< per output: does anybody read it
  std::vector<bool> result_outputs = {};  ///< per output: is it handed out of the graph

  const TensorType& input(size_t k) const { return graph.type(node.inputs[k]); }
  const TensorType& output(size_t k = 0) const { return graph.type(node.outputs[k]); }
  bool has(size_t k) const { return k < node.inputs.size() && node.inputs[k].valid(); }
  bool read(size_t k) const { return read_outputs[k]; }
  /// Whether output k is to be written into the state in which input i lies.
  bool over(size_t k, size_t i) const {
    if (plan == nullptr || !has(i)) return false;
    const Placement& to = plan->placements[static_cast<size_t>(node.outputs[k].index)];
    return to.kind == Placement::Kind::state &&
           to == plan->placements[static_cast<size_t>(node.inputs[i].index)];
  }
};

struct Maker {
  std::string_view op;
  Kernel (*make)(const MakerContext&);
  /// An update that treats all elements alike: runs once for many parameters, laid end to end.
  bool elementwise_update = false;
};

std::span<const Maker> augment_makers();
std::span<const Maker> adaptive_makers();
std::span<const Maker> average_makers();
std::span<const Maker> conv_makers();
std::span<const Maker> data_makers();
std::span<const Maker> elementwise_makers();
std::span<const Maker> fusion_makers();
std::span<const Maker> loss_makers();
std::span<const Maker> loss_scale_makers();
std::span<const Maker> matmul_makers();
std::span<const Maker> norm_makers();
std::span<const Maker> pool_makers();
std::span<const Maker> reduce_makers();
std::span<const Maker> shape_makers();
std::span<const Maker> update_makers();

/// nullptr when there is none.
const Maker* find_maker(std::string_view op);

/// Per value of a graph: does a node read it; is it a result or the new value of a state.
struct Uses {
  std::vector<bool> read, handed_out;
};
Uses uses_of(const Graph& graph);

/// The kernel of a node: the CUDA part's own where it has one, else ATen's. Error when the operator
/// has none.
Kernel make_kernel(const Graph& graph, const Node& node, const MemoryPlan* plan, const Uses& uses);

}  // namespace expgraph::libtorch
