// average: running averages of parameters, and the choice between two values.
#include "backends/libtorch/kernels.h"

namespace expgraph::libtorch {

namespace {

/// y = average + when * (1 - decay) * (x - average).
Kernel make_average_update(const MakerContext& context) {
  return [over = context.over(0, 0)](std::span<const at::Tensor> in) -> Tensors {
    const at::Tensor part = in[3] * (1 - in[2]);
    return {over ? in[0].lerp_(in[1], part) : in[0].lerp(in[1], part)};
  };
}

Kernel make_choose(const MakerContext& context) {
  return [over = context.over(0, 0)](std::span<const at::Tensor> in) -> Tensors {
    at::Tensor x = in[0];
    const at::Tensor other = in[2].ne(0);
    return {over ? at::where_out(x, other, in[1], x) : at::where(other, in[1], x)};
  };
}

constexpr Maker kMakers[] = {
    {"average_update", make_average_update, true},
    {"choose", make_choose, true},
};

}  // namespace

std::span<const Maker> average_makers() { return kMakers; }

}  // namespace expgraph::libtorch
