// data: the meaning of what is done to samples before the network: images are [N, H, W, C] until
// to_images. Kernels that only move pixels move bytes, whatever their type.
#include <cstring>

#include "backends/reference/kernels.h"
#include "core/ops/common.h"

namespace expgraph::reference {

namespace {

/// Sizes of samples [N, H, W, C], with a pixel's bytes.
struct Samples {
  explicit Samples(const TensorView& tensor)
      : n(dim(tensor, 0)),
        h(dim(tensor, 1)),
        w(dim(tensor, 2)),
        c(dim(tensor, 3)),
        pixel(static_cast<size_t>(c * size_of(tensor.type.dtype))),
        data(tensor.as<std::byte>()) {}
  std::byte* at(int64_t sample, int64_t row, int64_t column) const {
    return data + static_cast<size_t>((sample * h + row) * w + column) * pixel;
  }
  int64_t n, h, w, c;
  size_t pixel;
  std::byte* data;
};

/// Component k of a sample's choice, i32[N, components].
int64_t choice(const TensorView& choices, int64_t sample, int64_t k) {
  return choices.as<int32_t>()[sample * dim(choices, 1) + k];
}

template <typename X>
void normalise_elements(const Attributes& attributes, const KernelArgs& args) {
  const std::vector<double>& mean = attributes.reals("mean");
  const std::vector<double>& std = attributes.reals("std");
  const X* x = args.inputs[0].as<X>();
  float* y = args.outputs[0].as<float>();
  for (int64_t i = 0; i < args.outputs[0].type.elements(); ++i) {
    const size_t c = static_cast<size_t>(i) % mean.size();
    y[i] = static_cast<float>((x[i] - mean[c]) / std[c]);
  }
}

void normalise(const Attributes& attributes, const KernelArgs& args) {
  const auto kernel = args.inputs[0].type.dtype == DType::u8 ? normalise_elements<uint8_t>
                                                             : normalise_elements<float>;
  kernel(attributes, args);
}

/// Mirrors a position about the first and the last, without repeating them (numpy's "reflect").
int64_t reflect(int64_t i, int64_t size) {
  if (i < 0) return -i;
  return i < size ? i : 2 * (size - 1) - i;
}

void pad(const Attributes& attributes, const KernelArgs& args) {
  const Samples x(args.inputs[0]), y(args.outputs[0]);
  const Pair size = pair(attributes, "size");
  const bool reflects = attributes.text("mode") == "reflect";
  for (int64_t n = 0; n < y.n; ++n) {
    for (int64_t row = 0; row < y.h; ++row) {
      for (int64_t column = 0; column < y.w; ++column) {
        const int64_t r = row - size.height, c = column - size.width;
        const bool inside = r >= 0 && r < x.h && c >= 0 && c < x.w;
        if (inside || reflects)
          std::memcpy(y.at(n, row, column), x.at(n, reflect(r, x.h), reflect(c, x.w)), y.pixel);
        else
          std::memset(y.at(n, row, column), 0, y.pixel);
      }
    }
  }
}

void random_crop(const Attributes&, const KernelArgs& args) {
  const Samples x(args.inputs[0]), y(args.outputs[0]);
  for (int64_t n = 0; n < y.n; ++n) {
    const int64_t top = choice(args.inputs[1], n, 0), left = choice(args.inputs[1], n, 1);
    EXPGRAPH_CHECK(top >= 0 && top + y.h <= x.h && left >= 0 && left + y.w <= x.w);
    for (int64_t row = 0; row < y.h; ++row)
      std::memcpy(y.at(n, row, 0), x.at(n, top + row, left), static_cast<size_t>(y.w) * y.pixel);
  }
}

void random_flip(const Attributes&, const KernelArgs& args) {
  const Samples x(args.inputs[0]), y(args.outputs[0]);
  for (int64_t n = 0; n < y.n; ++n) {
    const bool mirrored = choice(args.inputs[1], n, 0) == 1;
    for (int64_t row = 0; row < y.h; ++row)
      for (int64_t column = 0; column < y.w; ++column)
        std::memcpy(y.at(n, row, column), x.at(n, row, mirrored ? y.w - 1 - column : column),
                    y.pixel);
  }
}

void cutout(const Attributes& attributes, const KernelArgs& args) {
  const Samples x(args.inputs[0]), y(args.outputs[0]);
  const Pair size = pair(attributes, "size");
  std::memmove(y.data, x.data, static_cast<size_t>(args.outputs[0].type.bytes()));
  for (int64_t n = 0; n < y.n; ++n) {
    const int64_t top = choice(args.inputs[1], n, 0), left = choice(args.inputs[1], n, 1);
    EXPGRAPH_CHECK(top >= 0 && top + size.height <= y.h && left >= 0 && left + size.width <= y.w);
    for (int64_t row = top; row < top + size.height; ++row)
      std::memset(y.at(n, row, left), 0, static_cast<size_t>(size.width) * y.pixel);
  }
}

void gather(const Attributes&, const KernelArgs& args) {
  const TensorView& x = args.inputs[0];
  const int32_t* index = args.inputs[1].as<int32_t>();
  const size_t bytes = static_cast<size_t>(x.type.bytes() / std::max<int64_t>(1, dim(x, 0)));
  for (int64_t b = 0; b < dim(args.outputs[0], 0); ++b) {
    EXPGRAPH_CHECK(index[b] >= 0 && index[b] < dim(x, 0));
    std::memcpy(args.outputs[0].as<std::byte>() + static_cast<size_t>(b) * bytes,
                x.as<std::byte>() + static_cast<size_t>(index[b]) * bytes, bytes);
  }
}

template <typename X>
void to_images_elements(const KernelArgs& args) {
  const Samples x(args.inputs[0]);
  const X* from = args.inputs[0].as<X>();
  float* y = args.outputs[0].as<float>();
  for (int64_t n = 0; n < x.n; ++n)
    for (int64_t c = 0; c < x.c; ++c)
      for (int64_t i = 0; i < x.h * x.w; ++i)
        *y++ = static_cast<float>(from[(n * x.h * x.w + i) * x.c + c]);
}

void to_images(const Attributes&, const KernelArgs& args) {
  const auto kernel = args.inputs[0].type.dtype == DType::u8 ? to_images_elements<uint8_t>
                                                             : to_images_elements<float>;
  kernel(args);
}

constexpr KernelEntry kKernels[] = {
    {"normalise", normalise},     {"pad", pad},       {"random_crop", random_crop},
    {"random_flip", random_flip}, {"cutout", cutout}, {"gather", gather},
    {"to_images", to_images},
};

}  // namespace

std::span<const KernelEntry> data_kernels() { return kKernels; }

}  // namespace expgraph::reference
