// conv_plan: a convolution -> the layouts and the algorithm that it runs on.
#include "backends/onednn/winograd.h"

namespace expgraph::onednn {

ConvPlan plan_conv(const ConvShape& shape, int threads) {
  if (winograd_suits(shape, threads)) return {.winograd = true};
  // Channels-last is as fast as blocks or faster, except where a map has few pixels.
  const Map x(shape.x), y(shape.y);
  const bool blocks = x.c % kBlock == 0 && y.c % kBlock == 0 && x.plane() <= 16;
  return blocks ? ConvPlan{Layout::blocked, Layout::blocked} : ConvPlan{};
}

}  // namespace expgraph::onednn
