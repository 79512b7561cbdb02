// launcher: the kernels of a step -> one CUDA graph, captured after warm-up and replayed.
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <mutex>

#include "backends/libtorch/cuda/part.h"

namespace expgraph::libtorch {

namespace {

/// Libraries choose algorithms and make workspaces in the first calls, which may not be captured.
constexpr int kWarmUp = 3;

class Event {
 public:
  Event() { C10_CUDA_CHECK(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { cudaEventDestroy(event_); }
  /// What is launched on `second` from now on waits for all that was launched on `first`.
  void order(cudaStream_t first, cudaStream_t second) {
    C10_CUDA_CHECK(cudaEventRecord(event_, first));
    C10_CUDA_CHECK(cudaStreamWaitEvent(second, event_, 0));
  }

 private:
  cudaEvent_t event_ = nullptr;
};

class GraphLauncher final : public Launcher {
 public:
  GraphLauncher() : stream_(c10::cuda::getStreamFromPool()) {}

  void on_own_stream(const std::function<void()>& work) override {
    event_.order(c10::cuda::getCurrentCUDAStream(), stream_);
    const c10::cuda::CUDAStreamGuard guard(stream_);  // the default stream cannot be captured
    work();
  }

  void run(const std::function<void()>& work, bool moved) override {
    if (moved) {
      graph_.reset();
      runs_ = 0;
    }
    if (runs_++ < kWarmUp) return work();
    if (graph_ == nullptr) capture(work);
    graph_->replay();
  }

 private:
  void capture(const std::function<void()>& work) {
    // Batches are made on another thread meanwhile: what that launches is its own affair, and what
    // it captures waits.
    static std::mutex one_at_a_time;
    const std::lock_guard lock(one_at_a_time);
    auto graph = std::make_unique<at::cuda::CUDAGraph>();
    graph->capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    work();
    graph->capture_end();
    graph_ = std::move(graph);
  }

  c10::cuda::CUDAStream stream_;
  Event event_;
  std::unique_ptr<at::cuda::CUDAGraph> graph_;
  int runs_ = 0;  // since leaves last moved
};

}  // namespace

std::unique_ptr<Launcher> make_graph_launcher() { return std::make_unique<GraphLauncher>(); }

}  // namespace expgraph::libtorch
