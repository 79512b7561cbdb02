// winograd: 3x3 convolutions of stride 1 by F(2x2, 3x3) (Lavin and Gray, "Fast Algorithms for
// Convolutional Neural Networks", 2016): 16 products of matrices in place of 36.
#pragma once

#include "backends/onednn/conv.h"

namespace expgraph::onednn {

/// Whether it is faster than the direct way: enough channels, and few places of its 2x2 tiles
/// lie outside the map.
bool winograd_suits(const ConvShape& shape, int threads);

Kernel winograd_kernel(const ConvShape& shape, bool bias, int threads);

}  // namespace expgraph::onednn
