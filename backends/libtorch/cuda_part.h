// cuda_part: what lib/expgraph_libtorch_cuda.so adds on a machine with a GPU: kernels of its own,
// a way to launch a whole step, and what the device is. It is opened by device.cpp alone.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "backends/libtorch/kernels.h"

namespace expgraph::libtorch {

/// Runs the kernels of one program, again and again.
class Launcher {
 public:
  virtual ~Launcher() = default;
  /// Does what `work` does. Tensors that it reads and writes lie where they lay at the last call
  /// unless `moved`; work neither waits for the device nor copies from it.
  virtual void run(const std::function<void()>& work, bool moved) = 0;
};

class CudaPart {
 public:
  virtual ~CudaPart() = default;
  /// Device, compute capability, memory, driver, library versions; a line.
  virtual std::string describe() const = 0;
  virtual int64_t free_bytes() const = 0;
  /// A kernel that is better than ATen's for this node; nothing when there is none.
  virtual std::optional<Kernel> make_kernel(const MakerContext& context) const = 0;
  virtual std::unique_ptr<Launcher> make_launcher() const = 0;
  virtual void synchronise() const = 0;  ///< waits for all that was launched
};

}  // namespace expgraph::libtorch

/// The one symbol of the CUDA part. Throws Error (environment, one line) when the device, its
/// driver or a library is missing or too old.
extern "C" const expgraph::libtorch::CudaPart* expgraph_libtorch_cuda();
