// kernels: what a reference kernel is, and the list of them per operator family.
#pragma once

#include <span>
#include <string_view>

#include "core/host_executor.h"

namespace expgraph::reference {

/// A kernel is a plain function. Shapes come from the views' types; attributes are complete.
using KernelFunction = void (*)(const Attributes&, const KernelArgs&);

struct KernelEntry {
  std::string_view op;
  KernelFunction f32;  ///< for programs in float
  KernelFunction f64;  ///< for programs in double (passes/to_double); null: never in one
};

std::span<const KernelEntry> adaptive_kernels();
std::span<const KernelEntry> augment_kernels();
std::span<const KernelEntry> average_kernels();
std::span<const KernelEntry> conv_kernels();
std::span<const KernelEntry> data_kernels();
std::span<const KernelEntry> elementwise_kernels();
std::span<const KernelEntry> loss_kernels();
std::span<const KernelEntry> loss_scale_kernels();
std::span<const KernelEntry> matmul_kernels();
std::span<const KernelEntry> norm_kernels();
std::span<const KernelEntry> pool_kernels();
std::span<const KernelEntry> reduce_kernels();
std::span<const KernelEntry> shape_kernels();
std::span<const KernelEntry> update_kernels();

/// nullptr when there is none.
const KernelEntry* find_kernel(std::string_view op);

/// The kernel of a node; a fusion's runs the kernels of its body. There must be one for its
/// operator and element types.
Kernel make_kernel(const Graph& graph, const Node& node);

/// A fusion's kernel: the body's nodes one by one, over temporaries in scratch.
Kernel make_fusion_kernel(const Node& node);

/// Sizes of an image tensor [N, C, H, W].
struct Images {
  explicit Images(const TensorType& type)
      : n(type.shape[0]), c(type.shape[1]), h(type.shape[2]), w(type.shape[3]) {}
  int64_t plane() const { return h * w; }
  int64_t n, c, h, w;
};

/// A matrix seen in a tensor: [N, C, rest...] as n x c x inner.
struct Channels {
  explicit Channels(const TensorType& type)
      : n(type.shape[0]), c(type.shape[1]), inner(n * c == 0 ? 0 : type.elements() / (n * c)) {}
  int64_t n, c, inner;
};

inline int64_t dim(const TensorView& tensor, size_t axis) { return tensor.type.shape[axis]; }

}  // namespace expgraph::reference
