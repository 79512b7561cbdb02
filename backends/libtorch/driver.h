// driver: NVIDIA's driver, asked by its own interface -> what the first GPU is, or what is missing.
// Nothing of CUDA's wheels or of LibTorch is needed to ask.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace expgraph::libtorch {

struct Gpu {
  std::string name;
  int major = 0, minor = 0;  ///< compute capability
  int64_t bytes = 0;
  int driver = 0;  ///< the newest CUDA that the driver runs, 13000 for 13.0

  /// "NVIDIA H100 80GB HBM3, compute capability 9.0, 79.2 GiB, driver for CUDA 13.0"
  std::string describe() const;
};

/// The first GPU; nothing where there is no driver or no device. Error (environment) when there is
/// a driver and it does not work.
std::optional<Gpu> find_gpu();

/// Error (environment) unless the CUDA part's code runs there.
void check_gpu(const Gpu& gpu);

/// "13.0" of 13000.
std::string cuda_version(int number);

}  // namespace expgraph::libtorch
