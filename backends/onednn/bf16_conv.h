// bf16_conv: convolutions of stride 1 over maps of bf16, as sums of products of blocks.
#pragma once

#include "backends/onednn/conv.h"

namespace expgraph::onednn {

/// Whether it takes the shape, and this machine has a unit for which it is worth it.
bool has_bf16_conv(const ConvShape& shape);

/// All operands bf16, sums in f32. `moments`: of a forward convolution's output, to be left there;
/// may be null.
Kernel bf16_conv_kernel(const ConvShape& shape, bool bias, int threads,
                        std::shared_ptr<Moments> moments);

}  // namespace expgraph::onednn
