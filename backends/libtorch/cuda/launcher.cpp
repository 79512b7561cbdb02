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
  /// Comes after all that was launched on `stream`.
  void record(cudaStream_t stream) { C10_CUDA_CHECK(cudaEventRecord(event_, stream)); }
  /// What is launched on `stream` from now on comes after it.
  void hold(cudaStream_t stream) { C10_CUDA_CHECK(cudaStreamWaitEvent(stream, event_, 0)); }
  void wait() { C10_CUDA_CHECK(cudaEventSynchronize(event_)); }

 private:
  cudaEvent_t event_ = nullptr;
};

class GraphLauncher final : public Launcher {
 public:
  GraphLauncher() : stream_(c10::cuda::getStreamFromPool()) {}

  /// So the host is one run ahead at most: it makes the next ready while the device does this one.
  void start(std::function<void()> run) override {
    called_.record(c10::cuda::getCurrentCUDAStream());
    called_.hold(stream_);
    {
      const c10::cuda::CUDAStreamGuard guard(stream_);  // the default stream cannot be captured
      run();
    }
    read_.wait();
  }

  void inputs_read() override { read_.record(stream_); }

  void wait() override { stream_.synchronize(); }

  void replay(const std::function<void()>& work, bool moved) override {
    if (moved) {
      wait();  // the graph may still run
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
  Event called_, read_;
  std::unique_ptr<at::cuda::CUDAGraph> graph_;
  int runs_ = 0;  // since leaves last moved
};

}  // namespace

std::shared_ptr<Launcher> make_graph_launcher() { return std::make_shared<GraphLauncher>(); }

}  // namespace expgraph::libtorch
