// device: where programs of this backend run: the GPU where there is one, else the CPU.
#pragma once

#include "backends/libtorch/cuda_part.h"
#include "backends/libtorch/driver.h"

namespace expgraph::libtorch {

struct Device {
  at::Device at;
  const CudaPart* cuda = nullptr;  ///< null on the CPU
  Gpu gpu = {};                    ///< not on the CPU
};

/// Chosen once: what EXPGRAPH_DEVICE says (cpu or cuda), else cuda where this machine has a GPU.
/// Error (environment, one line) when that device, its driver or a library is missing or too old.
const Device& device();

/// Memory that a program may have now.
int64_t free_bytes(const Device& device);

}  // namespace expgraph::libtorch
