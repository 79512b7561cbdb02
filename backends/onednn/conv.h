// conv: convolutions, and which layouts each of them runs fastest on.
#pragma once

#include <optional>

#include "backends/onednn/kernels.h"

namespace expgraph::onednn {

enum class ConvDirection { forward, backward_data, backward_weights };

/// y = x convolved with w, or the gradient of x or w: the types of the forward convolution.
struct ConvShape {
  ConvDirection direction = ConvDirection::forward;
  TensorType x, w, y;
  Shape stride, padding;
};

/// How the maps lie: x (or dx) and y (or dy).
struct ConvLayouts {
  Layout x = Layout::nhwc;
  Layout y = Layout::nhwc;
};

/// Of a convolution node; nothing of any other.
std::optional<ConvShape> conv_shape(const Graph& graph, const Node& node);

/// The layout of the node's input `input`.
Layout conv_input_layout(const ConvShape& shape, const ConvLayouts& layouts, size_t input);

Kernel conv_kernel(const ConvShape& shape, const ConvLayouts& layouts, bool bias);

/// The layouts to run it on (conv_choice.cpp).
ConvLayouts choose_conv_layouts(const ConvShape& shape, int threads);

}  // namespace expgraph::onednn
