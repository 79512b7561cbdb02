// device: EXPGRAPH_DEVICE and what the machine has -> where programs of this backend run.
#include "backends/libtorch/device.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>

#include "backends/libtorch/allocator.h"

namespace expgraph::libtorch {

namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(std::string message) {
  throw Error(std::move(message), {}, ExitCode::environment);
}

bool has_gpu() {
  std::error_code missing;
  return fs::exists("/dev/nvidiactl", missing) || fs::exists("/dev/dxg", missing);
}

/// Opened beside this module.
const CudaPart* open_cuda_part() {
  Dl_info info{};
  EXPGRAPH_CHECK(dladdr(reinterpret_cast<const void*>(&device), &info) != 0);
  const fs::path file = fs::path(info.dli_fname).parent_path() / "expgraph_libtorch_cuda.so";
  if (!fs::exists(file))
    fail("the CUDA part of backend 'libtorch' is not built: EXPGRAPH_DEVICE=cpu runs on the CPU");
  if (!has_gpu()) fail("EXPGRAPH_DEVICE is 'cuda', but this machine has no NVIDIA GPU or driver");
  void* part = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (part == nullptr)
    fail(fmt::format("the CUDA part of backend 'libtorch' cannot be loaded: {}", dlerror()));
  using Entry = const CudaPart* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(part, "expgraph_libtorch_cuda"));
  EXPGRAPH_CHECK(entry != nullptr);
  return entry();
}

Device choose() {
  const char* asked = std::getenv("EXPGRAPH_DEVICE");
  const std::string name = asked == nullptr ? (has_gpu() ? "cuda" : "cpu") : asked;
  if (name == "cpu") {
    keep_tensor_memory();
    return {at::kCPU};
  }
  if (name != "cuda") fail(fmt::format("EXPGRAPH_DEVICE is '{}', expected cpu or cuda", name));
  return {at::Device(at::kCUDA, 0), open_cuda_part()};
}

}  // namespace

const Device& device() {
  static const Device chosen = choose();
  return chosen;
}

int64_t free_bytes(const Device& device) {
  if (device.cuda != nullptr) return device.cuda->free_bytes();
  std::ifstream file("/proc/meminfo");
  for (std::string name, line; file >> name; std::getline(file, line))
    if (int64_t kibibytes = 0; name == "MemAvailable:" && file >> kibibytes)
      return kibibytes * 1024;
  return std::numeric_limits<int64_t>::max();
}

}  // namespace expgraph::libtorch
