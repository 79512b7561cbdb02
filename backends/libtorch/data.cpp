// data: what is done to samples [N, H, W, C] before the network, and their way into it.
#include "backends/libtorch/kernels.h"
#include "core/ops/common.h"

namespace expgraph::libtorch {

namespace {

at::Tensor reals(const std::vector<double>& values, at::Device device) {
  return at::tensor(values, at::dtype(at::kFloat)).to(device);
}

Kernel make_normalise(const MakerContext& context) {
  const at::Tensor mean = reals(context.node.attributes.reals("mean"), context.device);
  const at::Tensor std = reals(context.node.attributes.reals("std"), context.device);
  return [mean, std](std::span<const at::Tensor> in) -> Tensors {
    return {(in[0].to(at::kFloat) - mean).div_(std)};
  };
}

/// Places 0 to size - 1 with `border` more on each side, mirrored about the first and the last.
at::Tensor mirrored(int64_t size, int64_t border, at::Device device) {
  const at::Tensor places = at::arange(-border, size + border, at::dtype(at::kLong)).abs();
  return (size - 1 - (size - 1 - places).abs()).to(device);
}

Kernel make_pad(const MakerContext& context) {
  const Pair size = pair(context.node.attributes, "size");
  if (context.node.attributes.text("mode") != "reflect")
    return [size](std::span<const at::Tensor> in) -> Tensors {
      return {
          at::constant_pad_nd(in[0], {0, 0, size.width, size.width, size.height, size.height}, 0)};
    };
  const Shape& x = context.input(0).shape;
  const at::Tensor rows = mirrored(x[1], size.height, context.device);
  const at::Tensor columns = mirrored(x[2], size.width, context.device);
  return [rows, columns](std::span<const at::Tensor> in) -> Tensors {
    return {in[0].index_select(1, rows).index_select(2, columns)};
  };
}

/// Component k of the samples' choices, as [N, 1].
at::Tensor choice(const at::Tensor& choices, int64_t k) {
  return choices.narrow(1, k, 1).to(at::kLong);
}

at::Tensor places(int64_t count, const at::Tensor& like) {
  return at::arange(count, like.options().dtype(at::kLong));
}

/// y[n, i, j] = x[n, rows[n, i], columns[n, j]].
at::Tensor picked(const at::Tensor& x, const at::Tensor& rows, const at::Tensor& columns) {
  const at::Tensor samples = places(x.size(0), x).unsqueeze(1);
  return x.index({samples.unsqueeze(2), rows.unsqueeze(2), columns.unsqueeze(1)});
}

Kernel make_random_crop(const MakerContext& context) {
  return [size = pair(context.node.attributes, "size")](std::span<const at::Tensor> in) -> Tensors {
    return {picked(in[0], choice(in[1], 0) + places(size.height, in[0]),
                   choice(in[1], 1) + places(size.width, in[0]))};
  };
}

Kernel make_random_flip(const MakerContext&) {
  return [](std::span<const at::Tensor> in) -> Tensors {
    const at::Tensor mirrored = choice(in[1], 0).eq(1).unsqueeze(2).unsqueeze(3);
    return {at::where(mirrored, in[0].flip(2), in[0])};
  };
}

/// Of each sample, which of `size` places are `length` ones from its first on: [N, size].
at::Tensor covered(const at::Tensor& first, int64_t length, int64_t size) {
  const at::Tensor at = places(size, first);
  return at.ge(first).logical_and_(at.lt(first + length));
}

Kernel make_cutout(const MakerContext& context) {
  return [size = pair(context.node.attributes, "size")](std::span<const at::Tensor> in) -> Tensors {
    const at::Tensor rows = covered(choice(in[1], 0), size.height, in[0].size(1));
    const at::Tensor columns = covered(choice(in[1], 1), size.width, in[0].size(2));
    const at::Tensor box = rows.unsqueeze(2).logical_and(columns.unsqueeze(1));
    return {in[0].masked_fill(box.unsqueeze(3), 0)};
  };
}

Kernel make_gather(const MakerContext&) {
  return [](std::span<const at::Tensor> in) -> Tensors { return {in[0].index_select(0, in[1])}; };
}

/// A matter of strides: the channels lie last already.
Kernel make_to_images(const MakerContext&) {
  return [](std::span<const at::Tensor> in) -> Tensors {
    return {in[0].to(at::kFloat).permute({0, 3, 1, 2})};
  };
}

constexpr Maker kMakers[] = {
    {"normalise", make_normalise},     {"pad", make_pad},       {"random_crop", make_random_crop},
    {"random_flip", make_random_flip}, {"cutout", make_cutout}, {"gather", make_gather},
    {"to_images", make_to_images},
};

}  // namespace

std::span<const Maker> data_makers() { return kMakers; }

}  // namespace expgraph::libtorch
