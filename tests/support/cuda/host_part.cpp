// host_part: stands in for device.cpp and for the CUDA part: programs run as on a GPU, with tensors
// on the CPU and kernels emulated.
#include <fmt/format.h>

#include <limits>

#include "backends/libtorch/cuda/part.h"
#include "backends/libtorch/device.h"
#include "tests/support/cuda/emulation.h"

namespace expgraph::libtorch {

namespace {

class HostLauncher final : public Launcher {
 public:
  void on_own_stream(const std::function<void()>& work) override { work(); }
  void run(const std::function<void()>& work, bool) override { work(); }
};

class HostPart final : public CudaPart {
 public:
  /// How many kernels were made and launched, and what the emulation found.
  std::string describe() const override {
    const emulation::Report report = emulation::report();
    return fmt::format("kernels {}, launches {}, fault '{}'", kernels_, report.launches,
                       report.fault);
  }
  int64_t free_bytes() const override { return std::numeric_limits<int64_t>::max(); }
  std::optional<Kernel> make_kernel(const MakerContext& context) const override {
    std::optional<Kernel> kernel = make_own_kernel(context);
    kernels_ += kernel.has_value();
    return kernel;
  }
  std::unique_ptr<Launcher> make_launcher() const override {
    return std::make_unique<HostLauncher>();
  }
  void synchronise() const override {}

 private:
  mutable int kernels_ = 0;
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
