// shape: flatten, reshape, concat and slice; views where the strides allow it.
#include "backends/libtorch/kernels.h"

namespace expgraph::libtorch {

namespace {

Kernel make_reshape(const MakerContext& context) {
  return [shape = context.output().shape](std::span<const at::Tensor> in) -> Tensors {
    return {in[0].reshape(shape)};
  };
}

Kernel make_concat(const MakerContext& context) {
  return
      [axis = context.node.attributes.integer("axis")](std::span<const at::Tensor> in) -> Tensors {
        return {at::cat(at::TensorList(in.data(), in.size()), axis)};
      };
}

Kernel make_slice(const MakerContext& context) {
  const Attributes& attributes = context.node.attributes;
  return [axis = attributes.integer("axis"), start = attributes.integer("start"),
          length = attributes.integer("length")](std::span<const at::Tensor> in) -> Tensors {
    return {in[0].narrow(axis, start, length)};
  };
}

constexpr Maker kMakers[] = {
    {"flatten", make_reshape},
    {"reshape", make_reshape},
    {"concat", make_concat},
    {"slice", make_slice},
};

}  // namespace

std::span<const Maker> shape_makers() { return kMakers; }

}  // namespace expgraph::libtorch
