// part: what the files of the CUDA part share.
#pragma once

#include <optional>

#include "backends/libtorch/cuda/kernels.h"
#include "backends/libtorch/cuda_part.h"

namespace expgraph::libtorch {

/// The stream that ATen's operators are launched on now.
cuda::Stream current_stream();

/// The kernels of cuda/*.cu for a node; nothing where ATen's are to run.
std::optional<Kernel> make_own_kernel(const MakerContext& context);

/// That for fusions of normalisation, pooling and activation.
std::optional<Kernel> make_norm_fusion(const MakerContext& context);

/// That for the fusion that makes a batch.
std::optional<Kernel> make_augment(const MakerContext& context);

/// That for updates of parameters, with the averages made of them.
std::optional<Kernel> make_update(const MakerContext& context);

std::shared_ptr<Launcher> make_graph_launcher();

}  // namespace expgraph::libtorch
