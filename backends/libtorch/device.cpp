// device: EXPGRAPH_DEVICE and what the machine has -> where programs of this backend run.
#include "backends/libtorch/device.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>

#include "backends/libtorch/allocator.h"
#include "core/support/amx.h"

namespace expgraph::libtorch {

namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(std::string message) {
  throw Error(std::move(message), {}, ExitCode::environment);
}

/// Opened beside this module.
const CudaPart* open_cuda_part(const Gpu& gpu) {
  Dl_info info{};
  EXPGRAPH_CHECK(dladdr(reinterpret_cast<const void*>(&device), &info) != 0);
  const fs::path file = fs::path(info.dli_fname).parent_path() / "expgraph_libtorch_cuda.so";
  if (!fs::exists(file))
    fail(
        "the CUDA part of backend 'libtorch' is not built, it needs nvcc: EXPGRAPH_DEVICE=cpu runs "
        "on the CPU");
  check_gpu(gpu);
  void* part = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (part == nullptr)
    fail(
        fmt::format("the CUDA part of backend 'libtorch' cannot be loaded, {}: ./dev build fetches "
                    "CUDA's libraries, EXPGRAPH_DEVICE=cpu runs on the CPU",
                    dlerror()));
  using Entry = const CudaPart* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(part, "expgraph_libtorch_cuda"));
  EXPGRAPH_CHECK(entry != nullptr);
  return entry();
}

Device choose() {
  const char* asked = std::getenv("EXPGRAPH_DEVICE");
  const std::string name = asked == nullptr ? "" : asked;
  if (!name.empty() && name != "cpu" && name != "cuda")
    fail(fmt::format("EXPGRAPH_DEVICE is '{}', expected cpu or cuda", name));
  std::optional<Gpu> gpu;
  if (name != "cpu") gpu = find_gpu();
  if (gpu) return {at::Device(at::kCUDA, 0), open_cuda_part(*gpu), *gpu};
  if (name == "cuda")
    fail(
        "EXPGRAPH_DEVICE is 'cuda', but this machine has no NVIDIA GPU or no driver for it "
        "(libcuda.so.1): EXPGRAPH_DEVICE=cpu runs on the CPU");
  if (amx() == Amx::hidden) setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16", /*overwrite=*/0);
  keep_tensor_memory();
  return {at::kCPU};
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
