// conv: convolutions over maps with their channels last.
#pragma once

#include "backends/onednn/kernels.h"

namespace expgraph::onednn {

enum class ConvDirection { forward, backward_data, backward_weights };

/// y = x convolved with w, or the gradient of x or w: the types of the forward convolution.
struct ConvShape {
  ConvDirection direction = ConvDirection::forward;
  TensorType x, w, y;
  Shape stride, padding;
};

/// Of a convolution node.
ConvShape conv_shape(const MakerContext& context);

/// Whether its kernel takes and makes bf16.
bool is_bf16(const ConvShape& shape);

/// Whether its kernel can leave moments of its output.
bool gathers_moments(const ConvShape& shape);

/// `moments`: to be left, where gathers_moments; may be null.
Kernel conv_kernel(const ConvShape& shape, bool bias, int threads,
                   std::shared_ptr<Moments> moments = nullptr);

}  // namespace expgraph::onednn
