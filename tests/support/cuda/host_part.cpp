// host_part: stands in for device.cpp and for the CUDA part: programs run as on a GPU, with tensors
// on the CPU and kernels emulated.
#include <fmt/format.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <limits>
#include <map>
#include <mutex>
#include <thread>

#include "backends/libtorch/cuda/part.h"
#include "backends/libtorch/device.h"
#include "tests/support/cuda/emulation.h"

namespace expgraph::libtorch {

namespace {

/// Runs on a thread of its own, late: who does not wait sees what was there before.
class HostLauncher final : public Launcher {
 public:
  HostLauncher() : thread_([this] { work(); }) {}
  ~HostLauncher() override {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  void start(std::function<void()> run) override {
    std::unique_lock lock(mutex_);
    runs_.push_back(std::move(run));
    const int64_t own = ++started_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return read_ >= own || error_; });
    rethrow();
  }

  void inputs_read() override {
    {
      const std::lock_guard lock(mutex_);
      ++read_;
    }
    changed_.notify_all();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }

  void replay(const std::function<void()>& work, bool) override { work(); }

  void wait() override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return done_ == started_ || error_; });
    rethrow();
  }

 private:
  void rethrow() {
    if (error_) std::rethrow_exception(error_);
  }

  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return stop_ || !runs_.empty(); });
      if (runs_.empty()) return;
      const std::function<void()> run = std::move(runs_.front());
      runs_.pop_front();
      lock.unlock();
      std::exception_ptr error;
      try {
        run();
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      ++done_;
      if (error) error_ = error;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> runs_;
  int64_t started_ = 0, read_ = 0, done_ = 0;
  std::exception_ptr error_;
  bool stop_ = false;
  std::thread thread_;
};

class HostPart final : public CudaPart {
 public:
  /// How many kernels were made, in all and of each kind of node, and launched, and what the
  /// emulation found.
  std::string describe() const override {
    const emulation::Report report = emulation::report();
    int all = 0;
    std::string kinds;
    for (const auto& [kind, made] : kernels_) {
      all += made;
      kinds += fmt::format(", {} {}", kind, made);
    }
    return fmt::format("kernels {}, launches {}{}, fault '{}'", all, report.launches, kinds,
                       report.fault);
  }
  int64_t free_bytes() const override { return std::numeric_limits<int64_t>::max(); }
  std::optional<Kernel> make_kernel(const MakerContext& context) const override {
    std::optional<Kernel> kernel = make_own_kernel(context);
    if (kernel) ++kernels_[display_name(context.node)];
    return kernel;
  }
  std::shared_ptr<Launcher> make_launcher() const override {
    return std::make_shared<HostLauncher>();
  }
  void synchronise() const override {}

 private:
  mutable std::map<std::string, int> kernels_;
};

}  // namespace

cuda::Stream current_stream() { return nullptr; }

const Device& device() {
  static const HostPart part;
  static const Device host{at::kCPU, &part, {.name = "emulated device"}};
  return host;
}

int64_t free_bytes(const Device& device) { return device.cuda->free_bytes(); }

std::string Gpu::describe() const { return name; }

}  // namespace expgraph::libtorch
