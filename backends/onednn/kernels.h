// kernels: what a kernel maker of this backend is, and the list of them per operator family.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "backends/onednn/layout.h"
#include "backends/onednn/moments.h"
#include "backends/onednn/vector.h"
#include "core/host_executor.h"
#include "core/ir/op_schema.h"

namespace expgraph::onednn {

/// What a maker sees of the program around its node.
struct MakerContext {
  const Graph& graph;
  const Node& node;
  std::span<const Layout> inputs;  ///< how each input lies
  int threads = 1;
  std::shared_ptr<Moments> takes;   ///< those of a norm's input, if its maker leaves them
  std::shared_ptr<Moments> leaves;  ///< those that a kernel is to leave of its output

  const TensorType& input(size_t k) const { return graph.type(node.inputs[k]); }
  const TensorType& output(size_t k = 0) const { return graph.type(node.outputs[k]); }
  bool is_short(size_t k) const { return input(k).dtype == DType::bf16; }
};

/// A kernel, and the layouts that it takes and makes; inputs that lie otherwise are reordered
/// before it.
struct Made {
  Kernel kernel;
  std::vector<Layout> inputs, outputs;
  bool typed = false;  ///< takes and makes bf16 where a value is of it; else floats in its place
};

/// The layouts of a kernel that wants every value dense.
Made dense(const MakerContext& context, Kernel kernel);

/// Offsets of parts of a kernel's scratch, each 64-byte aligned.
class ScratchPlan {
 public:
  int64_t add(int64_t bytes) {
    const int64_t offset = bytes_;
    bytes_ += (bytes + 63) / 64 * 64;
    return offset;
  }
  int64_t bytes() const { return bytes_; }

 private:
  int64_t bytes_ = 0;
};

struct Maker {
  std::string_view op;
  Made (*make)(const MakerContext&);
};

std::span<const Maker> adaptive_makers();
std::span<const Maker> augment_makers();
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

/// What an activation or its gradient does; nothing when the node is of another operator.
std::optional<Activation> activation_of(const Node& node);

/// The input of a fused training norm over the whole batch, whose statistics it needs; none when
/// the node is something else.
ValueId norm_input(const Node& node);

/// A fused kernel for the chain of operators of the node's body; nothing when there is none.
std::optional<Made> make_fused_norm(const MakerContext& context);
std::optional<Made> make_fused_sum(const MakerContext& context);
std::optional<Made> make_fused_conv(const MakerContext& context);

/// Whether make_fused_conv makes something of the node, which then can leave moments of its output.
bool is_fused_conv(const MakerContext& context);

/// One kernel per node, in order. Leaves, results and updates lie dense; so does, with a plan, all
/// that does not lie in the arena.
std::vector<Kernel> lower(const Graph& graph, const MemoryPlan* plan, int threads);

}  // namespace expgraph::onednn
