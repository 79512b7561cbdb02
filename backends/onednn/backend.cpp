// backend: the oneDNN backend. Convolutions and products are oneDNN's, all around them is ours.
#include <fmt/format.h>

#include "backends/onednn/bf16.h"
#include "backends/onednn/dnnl.h"
#include "backends/onednn/kernels.h"
#include "backends/onednn/threads.h"
#include "backends/onednn/vector.h"

namespace expgraph::onednn {

namespace {

/// Runs kernels with the threads that they were made for.
class OneDnnExecutable final : public Executable {
 public:
  OneDnnExecutable(const Graph& graph, const MemoryPlan& plan, const CompileOptions& options,
                   int threads)
      : threads_(threads), program_(graph, plan, lower(graph, &plan, threads), options) {}

  void run(std::span<const Binding> inputs, std::span<const Binding> results,
           StateStore& store) override {
    use_threads(threads_);
    program_.run(inputs, results, store);
  }
  int64_t workspace_bytes() const override { return program_.workspace_bytes(); }
  std::vector<NodeTime> profile() const override { return program_.profile(); }
  std::optional<NodeId> first_non_finite() const override { return program_.first_non_finite(); }

 private:
  int threads_;
  HostExecutable program_;
};

class OneDnnBackend final : public Backend {
 public:
  OneDnnBackend() : limit_(limit_instruction_set()) {}

  std::string name() const override { return "onednn"; }
  std::string describe() const override {
    const dnnl_version_t* version = dnnl_version();
    return fmt::format("oneDNN {}.{}.{}, {}, vectors {}, bf16 in {}, {} threads{}", version->major,
                       version->minor, version->patch, isa_name(), vector_target(),
                       multiplies_blocks() ? "AMX tiles" : "floats", available_threads(),
                       limit_.empty() ? "" : "; " + limit_);
  }
  bool supports(const OpSchema& op) const override { return find_maker(op.name) != nullptr; }
  std::unique_ptr<StateStore> make_store() const override {
    return std::make_unique<HostStateStore>();
  }
  std::unique_ptr<Executable> compile(const Graph& graph, const MemoryPlan& plan,
                                      const CompileOptions& options) const override {
    const int threads = options.threads > 0 ? options.threads : available_threads();
    use_threads(threads);  // primitives divide their work for the threads they are made under
    return std::make_unique<OneDnnExecutable>(graph, plan, options, threads);
  }

 private:
  std::string limit_;
};

}  // namespace

}  // namespace expgraph::onednn

extern "C" __attribute__((visibility("default"))) const expgraph::Backend* expgraph_backend() {
  static const expgraph::onednn::OneDnnBackend backend;
  return &backend;
}
