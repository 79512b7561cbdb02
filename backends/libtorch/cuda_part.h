// cuda_part: what lib/expgraph_libtorch_cuda.so adds on a machine with a GPU: kernels of its own,
// a way to launch a whole step, and what its libraries are. It is opened by device.cpp alone.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "backends/libtorch/kernels.h"

namespace expgraph::libtorch {

/// Runs one program, again and again, beside other programs. A run goes on while the caller does.
class Launcher {
 public:
  virtual ~Launcher() = default;
  /// Calls `run`, all of whose launches and copies go to the program's own stream, after what was
  /// launched by the caller and by runs before. Returns when inputs_read was reached on the device.
  virtual void start(std::function<void()> run) = 0;
  /// Within a run, once, between what reads memory of others and what does not.
  virtual void inputs_read() = 0;
  /// Within a run: does what `work` does. Tensors that it reads and writes lie where they lay at
  /// the last call unless `moved`; work neither waits for the device nor copies from it.
  virtual void replay(const std::function<void()>& work, bool moved) = 0;
  /// Returns when all runs are done.
  virtual void wait() = 0;
};

class CudaPart {
 public:
  virtual ~CudaPart() = default;
  virtual std::string describe() const = 0;  ///< versions of CUDA's libraries
  virtual int64_t free_bytes() const = 0;    ///< of the device, for tensors that are not there yet
  /// A kernel that is better than ATen's for this node; nothing when there is none.
  virtual std::optional<Kernel> make_kernel(const MakerContext& context) const = 0;
  virtual std::shared_ptr<Launcher> make_launcher() const = 0;
  virtual void synchronise() const = 0;  ///< waits for all that was launched on this stream
};

}  // namespace expgraph::libtorch

/// The one symbol of the CUDA part; the device is started. Throws Error (environment, one line).
extern "C" const expgraph::libtorch::CudaPart* expgraph_libtorch_cuda();
