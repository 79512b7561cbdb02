// backend: the reference backend. Plain loops, one thread: what they do is what each operator
// means.
#include <algorithm>

#include "backends/reference/rounding.h"
#include "core/ir/op_schema.h"

namespace expgraph::reference {

const KernelEntry* find_kernel(std::string_view op) {
  for (const auto family :
       {adaptive_kernels, augment_kernels, average_kernels, conv_kernels, data_kernels,
        elementwise_kernels, loss_kernels, loss_scale_kernels, matmul_kernels, norm_kernels,
        pool_kernels, reduce_kernels, shape_kernels, update_kernels}) {
    const auto found = std::ranges::find(family(), op, &KernelEntry::op);
    if (found != family().end()) return &*found;
  }
  return nullptr;
}

Kernel make_kernel(const Graph& graph, const Node& node) {
  if (node.body) return make_fusion_kernel(node);
  const KernelEntry* entry = find_kernel(node.op->name);
  const auto any_is = [&](DType dtype) {
    const auto is = [&](ValueId v) { return v.valid() && graph.type(v).dtype == dtype; };
    return std::ranges::any_of(node.inputs, is) || std::ranges::any_of(node.outputs, is);
  };
  KernelFunction kernel = entry ? (any_is(DType::f64) ? entry->f64 : entry->f32) : nullptr;
  EXPGRAPH_CHECK(kernel);
  if (has_short_types(graph, node)) return make_rounding_kernel(graph, node, kernel);
  return {[kernel, &attributes = node.attributes](const KernelArgs& args) {
    kernel(attributes, args);
  }};
}

namespace {

class ReferenceBackend final : public Backend {
 public:
  std::string name() const override { return "reference"; }
  std::string describe() const override { return "plain loops, one thread"; }
  bool supports(const OpSchema& op) const override {
    return op.name == "fusion" || find_kernel(op.name) != nullptr;
  }
  std::unique_ptr<StateStore> make_store() const override {
    return std::make_unique<HostStateStore>();
  }
  std::unique_ptr<Executable> compile(const Graph& graph, const MemoryPlan& plan,
                                      const CompileOptions& options) const override {
    std::vector<Kernel> kernels;
    for (const Node& node : graph.nodes()) kernels.push_back(make_kernel(graph, node));
    return std::make_unique<HostExecutable>(graph, plan, std::move(kernels), options);
  }
};

}  // namespace

}  // namespace expgraph::reference

extern "C" __attribute__((visibility("default"))) const expgraph::Backend* expgraph_backend() {
  static const expgraph::reference::ReferenceBackend backend;
  return &backend;
}
