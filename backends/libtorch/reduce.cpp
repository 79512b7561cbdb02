// reduce: sums over all but the channels.
#include "backends/libtorch/kernels.h"

namespace expgraph::libtorch {

namespace {

Kernel make_channel_sum(const MakerContext& context) {
  std::vector<int64_t> axes{0};
  for (int64_t axis = 2; axis < context.input(0).rank(); ++axis) axes.push_back(axis);
  return [axes](std::span<const at::Tensor> in) -> Tensors { return {in[0].sum(axes)}; };
}

constexpr Maker kMakers[] = {
    {"channel_sum", make_channel_sum},
};

}  // namespace

std::span<const Maker> reduce_makers() { return kMakers; }

}  // namespace expgraph::libtorch
