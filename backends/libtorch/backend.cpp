// backend: the LibTorch backend. ATen's operators, forward and backward as the graph says; no
// autograd.
#include <fmt/format.h>

#include "backends/libtorch/executable.h"

namespace expgraph::libtorch {

at::ScalarType scalar_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return at::kFloat;
    case DType::f64:
      return at::kDouble;
    case DType::bf16:
      return at::kBFloat16;
    case DType::f16:
      return at::kHalf;
    case DType::i32:
      return at::kInt;
    case DType::u8:
      return at::kByte;
  }
  check_failed("an element type", __FILE__, __LINE__);
}

at::Tensor host_tensor(const TensorView& view) {
  return at::from_blob(view.data, view.type.shape, at::dtype(scalar_type(view.type.dtype)));
}

namespace {

class TorchBackend final : public Backend {
 public:
  std::string name() const override { return "libtorch"; }
  std::string describe() const override {
    const std::string where =
        device().cuda != nullptr
            ? device().cuda->describe()
            : fmt::format("on the CPU, {}, {} threads", at::get_cpu_capability(),
                          at::intraop_default_num_threads());
    return fmt::format("LibTorch {}, {}", TORCH_VERSION, where);
  }
  bool supports(const OpSchema& op) const override { return find_maker(op.name) != nullptr; }
  std::unique_ptr<StateStore> make_store() const override {
    return std::make_unique<TorchStore>(device().at);
  }
  std::unique_ptr<Executable> compile(const Graph& graph, const MemoryPlan& plan,
                                      const CompileOptions& options) const override {
    return std::make_unique<TorchExecutable>(graph, plan, options, device());
  }
};

}  // namespace

}  // namespace expgraph::libtorch

extern "C" __attribute__((visibility("default"))) const expgraph::Backend* expgraph_backend() {
  static const expgraph::libtorch::TorchBackend backend;
  return &backend;
}
