// backend: the LibTorch backend. ATen's operators, forward and backward as the graph says; no
// autograd.
#include <fmt/format.h>

#include "backends/libtorch/executable.h"

namespace expgraph::libtorch {

at::Tensor tensor_over(const TensorView& view) {
  const Shape& shape = view.type.shape;
  const auto options = at::dtype(scalar_type(view.type.dtype));
  if (!view.on_device) return at::from_blob(view.data, shape, options);
  return at::from_blob(view.data, shape, strides_of(shape), options.device(libtorch::device().at));
}

namespace {

class TorchBackend final : public Backend {
 public:
  std::string name() const override { return "libtorch"; }
  std::string describe() const override {
    const Device& where = libtorch::device();
    if (where.cuda != nullptr)
      return fmt::format("LibTorch {} on {}, {}", TORCH_VERSION, where.gpu.describe(),
                         where.cuda->describe());
    return fmt::format("LibTorch {}, on the CPU, {}, {} threads", TORCH_VERSION,
                       at::get_cpu_capability(), at::intraop_default_num_threads());
  }
  std::string device() const override {
    const Device& where = libtorch::device();
    return where.cuda == nullptr ? "cpu" : where.gpu.name;
  }
  bool supports(const OpSchema& op) const override { return find_maker(op.name) != nullptr; }
  std::unique_ptr<StateStore> make_store() const override {
    return std::make_unique<TorchStore>(libtorch::device().at);
  }
  Buffer make_buffer(const TensorType& type) const override {
    if (libtorch::device().cuda == nullptr) return Backend::make_buffer(type);
    const c10::InferenceMode guard;
    const auto memory = std::make_shared<at::Tensor>(
        at::empty(type.shape, at::dtype(scalar_type(type.dtype)).device(libtorch::device().at)));
    return {memory, {type, memory->data_ptr(), true}};
  }
  void copy(const TensorView& from, const TensorView& to) const override {
    const c10::InferenceMode guard;
    EXPGRAPH_CHECK(from.type == to.type);
    tensor_over(to).copy_(tensor_over(from));
  }
  std::unique_ptr<Executable> compile(const Graph& graph, const MemoryPlan& plan,
                                      const CompileOptions& options) const override {
    return std::make_unique<TorchExecutable>(graph, plan, options, libtorch::device());
  }
};

}  // namespace

}  // namespace expgraph::libtorch

extern "C" __attribute__((visibility("default"))) const expgraph::Backend* expgraph_backend() {
  static const expgraph::libtorch::TorchBackend backend;
  return &backend;
}
