// conv_choice: a convolution -> the layouts that it runs on.
#include "backends/onednn/conv.h"

namespace expgraph::onednn {

ConvLayouts choose_conv_layouts(const ConvShape& shape, int) {
  // Channels-last is as fast as blocks or faster, except where a map has few pixels.
  const Map x(shape.x), y(shape.y);
  const bool blocks = x.c % kBlock == 0 && y.c % kBlock == 0 && x.plane() <= 16;
  return blocks ? ConvLayouts{Layout::blocked, Layout::blocked} : ConvLayouts{};
}

}  // namespace expgraph::onednn
