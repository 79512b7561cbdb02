// conv: convolutions, and how each of them is run.
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

/// How to run one: how the maps lie, x (or dx) and y (or dy), and by which algorithm.
struct ConvPlan {
  Layout x = Layout::nhwc;
  Layout y = Layout::nhwc;
  bool winograd = false;
};

/// Of a convolution node; nothing of any other.
std::optional<ConvShape> conv_shape(const Graph& graph, const Node& node);

/// The layout of the node's input `input`.
Layout conv_input_layout(const ConvShape& shape, const ConvPlan& plan, size_t input);

Kernel conv_kernel(const ConvShape& shape, const ConvPlan& plan, bool bias, int threads);

/// How to run it (conv_plan.cpp).
ConvPlan plan_conv(const ConvShape& shape, int threads);

}  // namespace expgraph::onednn
