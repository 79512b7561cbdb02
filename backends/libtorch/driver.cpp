// driver: NVIDIA's driver, asked by its own interface -> what the first GPU is, or what is missing.
#include "backends/libtorch/driver.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include "core/support/diagnostics.h"

namespace expgraph::libtorch {

namespace {

constexpr int kLeastDriver = 13000;   // of the CUDA that LibTorch's wheel is built with
constexpr int kLeastCapability = 80;  // of the code that is compiled in: see CMakeLists.txt
constexpr int kNoDevice = 100;
constexpr int kMajor = 75, kMinor = 76;  // attributes of a device

[[noreturn]] void fail(std::string message) {
  throw Error(std::move(message), {}, ExitCode::environment);
}

/// libcuda.so.1, which comes with the driver. Its functions return 0 when they have done.
class Driver {
 public:
  Driver() : library_(dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL)) {}

  bool is_there() const { return library_ != nullptr; }

  template <typename... Arguments>
  int call(const char* name, Arguments... arguments) const {
    const auto function = reinterpret_cast<int (*)(Arguments...)>(dlsym(library_, name));
    if (function == nullptr) fail(fmt::format("NVIDIA's driver has no '{}': update it", name));
    return function(arguments...);
  }
  template <typename... Arguments>
  void require(const char* name, Arguments... arguments) const {
    const int status = call(name, arguments...);
    if (status == 0) return;
    const char* text = nullptr;
    call("cuGetErrorString", status, &text);
    fail(
        fmt::format("NVIDIA's driver does not work, {} gives {} ({}): EXPGRAPH_DEVICE=cpu runs on "
                    "the CPU",
                    name, status, text == nullptr ? "unknown" : text));
  }

 private:
  void* library_;  // never closed
};

}  // namespace

std::string cuda_version(int number) {
  return fmt::format("{}.{}", number / 1000, number % 1000 / 10);
}

std::string Gpu::describe() const {
  return fmt::format("{}, compute capability {}.{}, {:.1f} GiB, driver for CUDA {}", name, major,
                     minor, double(bytes) / (1 << 30), cuda_version(driver));
}

std::optional<Gpu> find_gpu() {
  const Driver driver;
  if (!driver.is_there()) return std::nullopt;
  if (driver.call("cuInit", 0U) == kNoDevice) return std::nullopt;
  driver.require("cuInit", 0U);
  int count = 0, device = 0;
  driver.require("cuDeviceGetCount", &count);
  if (count == 0) return std::nullopt;
  Gpu gpu;
  char name[256] = "";
  size_t bytes = 0;
  driver.require("cuDeviceGet", &device, 0);
  driver.require("cuDeviceGetName", &name[0], static_cast<int>(sizeof name), device);
  driver.require("cuDeviceGetAttribute", &gpu.major, kMajor, device);
  driver.require("cuDeviceGetAttribute", &gpu.minor, kMinor, device);
  driver.require("cuDeviceTotalMem_v2", &bytes, device);
  driver.require("cuDriverGetVersion", &gpu.driver);
  gpu.name = name;
  gpu.bytes = static_cast<int64_t>(bytes);
  return gpu;
}

void check_gpu(const Gpu& gpu) {
  if (10 * gpu.major + gpu.minor < kLeastCapability)
    fail(
        fmt::format("{} has compute capability {}.{}, 8.0 or more is needed: EXPGRAPH_DEVICE=cpu "
                    "runs on the CPU",
                    gpu.name, gpu.major, gpu.minor));
  if (gpu.driver < kLeastDriver)
    fail(
        fmt::format("the driver of {} runs CUDA up to {}, {} is needed: update it, or "
                    "EXPGRAPH_DEVICE=cpu runs on the CPU",
                    gpu.name, cuda_version(gpu.driver), cuda_version(kLeastDriver)));
}

}  // namespace expgraph::libtorch
