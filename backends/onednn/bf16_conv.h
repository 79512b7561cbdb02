// bf16_conv: convolutions over maps of bf16, as products of blocks.
#pragma once

#include "backends/onednn/conv.h"

namespace expgraph::onednn {

/// All operands bf16, sums in f32; where multiplies_blocks(). `moments`: of a forward convolution's
/// output, to be left there; may be null.
Kernel bf16_conv_kernel(const ConvShape& shape, bool bias, int threads,
                        std::shared_ptr<Moments> moments);

}  // namespace expgraph::onednn
