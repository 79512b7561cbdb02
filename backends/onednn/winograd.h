// winograd: 3x3 convolutions of stride 1 by F(2x2, 3x3) or F(4x4, 3x3) (Lavin and Gray, "Fast
// Algorithms for Convolutional Neural Networks", 2016): 16 products of matrices in place of 36, or
// 36 in place of 144.
#pragma once

#include "backends/onednn/conv.h"
#include "backends/onednn/vector_winograd.h"

namespace expgraph::onednn {

/// The tile by which it takes least; nothing where the direct way does. A rule on shapes, so that
/// equal programs make equal bits (docs/decisions/0006).
std::optional<WinogradTile> winograd_tile(const ConvShape& shape);

/// `moments`: of a forward convolution's output, to be left there; may be null.
Kernel winograd_kernel(const ConvShape& shape, WinogradTile tile, bool bias, int threads,
                       std::shared_ptr<Moments> moments);

/// Operands of a convolution and the max pooling after it, by their places among the inputs and
/// outputs of their node; -1: absent.
struct PooledPorts {
  int x = 0, w = 1, bias = -1, y = 0, index = -1;
  Map pooled;
};

/// Convolution, then the largest of each window of 2 x 2, two apart, and its u8 index.
Kernel winograd_pool_kernel(const ConvShape& shape, WinogradTile tile, const PooledPorts& ports,
                            int threads, std::shared_ptr<Moments> moments);

}  // namespace expgraph::onednn
