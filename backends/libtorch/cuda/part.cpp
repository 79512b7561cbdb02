// part: the CUDA part of the LibTorch backend: what its libraries are, and who makes its kernels.
#include "backends/libtorch/cuda/part.h"

#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <cstdlib>

#include "backends/libtorch/driver.h"

namespace expgraph::libtorch {

namespace {

void require(cudaError_t status) {
  if (status == cudaSuccess) return;
  throw Error(fmt::format("the GPU cannot be used, {}: EXPGRAPH_DEVICE=cpu runs on the CPU",
                          cudaGetErrorString(status)),
              {}, ExitCode::environment);
}

class Part final : public CudaPart {
 public:
  Part() {
    require(cudaSetDevice(0));
    // The same seed gives the same bits, and fp32 is fp32: algorithms are chosen by rule and not by
    // time, cuBLAS keeps one workspace, no product is rounded to TF32, sums of 16-bit products are
    // kept in fp32.
    setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
    at::Context& context = at::globalContext();
    context.setBenchmarkCuDNN(false);
    context.setDeterministicCuDNN(true);
    context.setAllowTF32CuDNN(false);
    context.setAllowTF32CuBLAS(false);
    context.setAllowFP16ReductionCuBLAS(false);
    context.setAllowBF16ReductionCuBLAS(false);
    context.lazyInitDevice(at::kCUDA);
  }

  std::string describe() const override {
    int runtime = 0;
    require(cudaRuntimeGetVersion(&runtime));
    const long cudnn = at::Context::versionRuntimeCuDNN();
    return fmt::format("CUDA {}, cuDNN {}.{}.{}", cuda_version(runtime), cudnn / 10000,
                       cudnn / 100 % 100, cudnn % 100);
  }

  int64_t free_bytes() const override {
    size_t free = 0, total = 0;
    require(cudaMemGetInfo(&free, &total));
    // What ATen's allocator has and does not use is free too.
    constexpr auto kAll = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(0);
    return static_cast<int64_t>(free) + stats.reserved_bytes[kAll].current -
           stats.allocated_bytes[kAll].current;
  }

  std::optional<Kernel> make_kernel(const MakerContext& context) const override {
    return make_own_kernel(context);
  }

  std::shared_ptr<Launcher> make_launcher() const override { return make_graph_launcher(); }

  void synchronise() const override { c10::cuda::getCurrentCUDAStream().synchronize(); }
};

}  // namespace

cuda::Stream current_stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

}  // namespace expgraph::libtorch

extern "C" __attribute__((visibility("default"))) const expgraph::libtorch::CudaPart*
expgraph_libtorch_cuda() {
  static const expgraph::libtorch::Part part;
  return &part;
}
