// data: what is done to samples before the network: images are [N, H, W, C] until to_images.
// Kernels that only move pixels move bytes, whatever their type.
#include <cstring>
#include <vector>

#include "backends/onednn/kernels.h"
#include "backends/onednn/parallel.h"
#include "core/ops/common.h"

namespace expgraph::onednn {

namespace {

/// Sizes of samples [N, H, W, C], with a pixel's bytes.
struct Samples {
  explicit Samples(const TensorView& tensor)
      : n(tensor.type.shape[0]),
        h(tensor.type.shape[1]),
        w(tensor.type.shape[2]),
        c(tensor.type.shape[3]),
        pixel(static_cast<size_t>(c * size_of(tensor.type.dtype))),
        data(tensor.as<std::byte>()) {}
  std::byte* at(int64_t sample, int64_t row, int64_t column) const {
    return data + static_cast<size_t>((sample * h + row) * w + column) * pixel;
  }
  int64_t n, h, w, c;
  size_t pixel;
  std::byte* data;
};

/// Choices of a sample, i32[N, components].
const int32_t* choice(const TensorView& choices, int64_t sample) {
  return choices.as<int32_t>() + sample * choices.type.shape[1];
}

/// Every sample's box of height x width at (choice 0, choice 1) lies within its image.
void check_boxes(const TensorView& choices, const Samples& x, int64_t height, int64_t width) {
  for (int64_t n = 0; n < x.n; ++n) {
    const int32_t* at = choice(choices, n);
    EXPGRAPH_CHECK(at[0] >= 0 && at[0] + height <= x.h && at[1] >= 0 && at[1] + width <= x.w);
  }
}

/// body(sample) on all threads.
template <typename Body>
void for_samples(int threads, int64_t count, const Body& body) {
  parallel(threads, count, 1, [&](int, int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) body(n);
  });
}

Made make_normalise(const MakerContext& context) {
  const std::vector<double>& mean = context.node.attributes.reals("mean");
  const std::vector<double>& std = context.node.attributes.reals("std");
  const size_t channels = mean.size();
  if (context.input(0).dtype == DType::f32)
    return dense(context,
                 {[mean, std, channels, threads = context.threads](const KernelArgs& args) {
                   const Samples x(args.inputs[0]);
                   for_samples(threads, x.n, [&](int64_t n) {
                     const auto* from = reinterpret_cast<const float*>(x.at(n, 0, 0));
                     float* to = args.outputs[0].as<float>() + n * x.h * x.w * x.c;
                     for (int64_t p = 0; p < x.h * x.w; ++p)
                       for (size_t c = 0; c < channels; ++c)
                         *to++ = static_cast<float>((*from++ - mean[c]) / std[c]);
                   });
                 }});
  // A byte has 256 values: each channel's results are known beforehand.
  std::vector<float> table(channels * 256);
  for (size_t c = 0; c < channels; ++c)
    for (size_t value = 0; value < 256; ++value)
      table[c * 256 + value] = static_cast<float>((static_cast<double>(value) - mean[c]) / std[c]);
  return dense(context, {[table, channels, threads = context.threads](const KernelArgs& args) {
                 const Samples x(args.inputs[0]);
                 for_samples(threads, x.n, [&](int64_t n) {
                   const auto* from = reinterpret_cast<const uint8_t*>(x.at(n, 0, 0));
                   float* to = args.outputs[0].as<float>() + n * x.h * x.w * x.c;
                   for (int64_t p = 0; p < x.h * x.w; ++p)
                     for (size_t c = 0; c < channels; ++c) *to++ = table[c * 256 + *from++];
                 });
               }});
}

/// Mirrors a position about the first and the last, without repeating them (numpy's "reflect").
int64_t reflect(int64_t i, int64_t size) {
  if (i < 0) return -i;
  return i < size ? i : 2 * (size - 1) - i;
}

Made make_pad(const MakerContext& context) {
  const Pair size = pair(context.node.attributes, "size");
  const bool reflects = context.node.attributes.text("mode") == "reflect";
  return dense(context, {[size, reflects, threads = context.threads](const KernelArgs& args) {
                 const Samples x(args.inputs[0]), y(args.outputs[0]);
                 for_samples(threads, y.n, [&](int64_t n) {
                   for (int64_t row = 0; row < y.h; ++row) {
                     const int64_t r = row - size.height;
                     if (!reflects && (r < 0 || r >= x.h)) {
                       std::memset(y.at(n, row, 0), 0, static_cast<size_t>(y.w) * y.pixel);
                       continue;
                     }
                     const int64_t from = reflect(r, x.h);
                     std::memcpy(y.at(n, row, size.width), x.at(n, from, 0),
                                 static_cast<size_t>(x.w) * x.pixel);
                     for (int64_t k = 0; k < size.width; ++k) {
                       for (const int64_t column : {k, y.w - 1 - k}) {
                         if (reflects)
                           std::memcpy(y.at(n, row, column),
                                       x.at(n, from, reflect(column - size.width, x.w)), y.pixel);
                         else
                           std::memset(y.at(n, row, column), 0, y.pixel);
                       }
                     }
                   }
                 });
               }});
}

Made make_random_crop(const MakerContext& context) {
  return dense(context, {[threads = context.threads](const KernelArgs& args) {
                 const Samples x(args.inputs[0]), y(args.outputs[0]);
                 check_boxes(args.inputs[1], x, y.h, y.w);
                 for_samples(threads, y.n, [&](int64_t n) {
                   const int32_t* at = choice(args.inputs[1], n);
                   for (int64_t row = 0; row < y.h; ++row)
                     std::memcpy(y.at(n, row, 0), x.at(n, at[0] + row, at[1]),
                                 static_cast<size_t>(y.w) * y.pixel);
                 });
               }});
}

Made make_random_flip(const MakerContext& context) {
  return dense(context, {[threads = context.threads](const KernelArgs& args) {
                 const Samples x(args.inputs[0]), y(args.outputs[0]);
                 for_samples(threads, y.n, [&](int64_t n) {
                   const bool mirrored = choice(args.inputs[1], n)[0] == 1;
                   for (int64_t row = 0; row < y.h; ++row) {
                     if (!mirrored) {
                       std::memcpy(y.at(n, row, 0), x.at(n, row, 0),
                                   static_cast<size_t>(y.w) * y.pixel);
                       continue;
                     }
                     for (int64_t column = 0; column < y.w; ++column)
                       std::memcpy(y.at(n, row, column), x.at(n, row, y.w - 1 - column), y.pixel);
                   }
                 });
               }});
}

Made make_cutout(const MakerContext& context) {
  const Pair size = pair(context.node.attributes, "size");
  return dense(context, {[size, threads = context.threads](const KernelArgs& args) {
                 const Samples x(args.inputs[0]), y(args.outputs[0]);
                 const size_t image = static_cast<size_t>(y.h * y.w) * y.pixel;
                 const bool off = size.height == 0 || size.width == 0;
                 if (!off) check_boxes(args.inputs[1], x, size.height, size.width);
                 for_samples(threads, y.n, [&](int64_t n) {
                   if (y.data != x.data) std::memcpy(y.at(n, 0, 0), x.at(n, 0, 0), image);
                   const int32_t* at = choice(args.inputs[1], n);
                   if (off) return;
                   for (int64_t row = 0; row < size.height; ++row)
                     std::memset(y.at(n, at[0] + row, at[1]), 0,
                                 static_cast<size_t>(size.width) * y.pixel);
                 });
               }});
}

Made make_gather(const MakerContext& context) {
  return dense(context, {[threads = context.threads](const KernelArgs& args) {
                 const TensorView& x = args.inputs[0];
                 const int32_t* index = args.inputs[1].as<int32_t>();
                 const int64_t rows = x.type.shape[0], count = args.outputs[0].type.shape[0];
                 const int64_t bytes = rows == 0 ? 0 : x.type.bytes() / rows;
                 for (int64_t b = 0; b < count; ++b)
                   EXPGRAPH_CHECK(index[b] >= 0 && index[b] < rows);
                 for_samples(threads, count, [&](int64_t b) {
                   std::memcpy(args.outputs[0].as<std::byte>() + b * bytes,
                               x.as<std::byte>() + index[b] * bytes, static_cast<size_t>(bytes));
                 });
               }});
}

template <typename X>
void to_planes(const X* from, float* to, int64_t pixels, int64_t channels) {
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t p = 0; p < pixels; ++p) *to++ = static_cast<float>(from[p * channels + c]);
}

Made make_to_images(const MakerContext& context) {
  return dense(context, {[threads = context.threads](const KernelArgs& args) {
                 const Samples x(args.inputs[0]);
                 const bool bytes = args.inputs[0].type.dtype == DType::u8;
                 for_samples(threads, x.n, [&](int64_t n) {
                   const std::byte* from = x.at(n, 0, 0);
                   float* to = args.outputs[0].as<float>() + n * x.h * x.w * x.c;
                   if (bytes)
                     to_planes(reinterpret_cast<const uint8_t*>(from), to, x.h * x.w, x.c);
                   else
                     to_planes(reinterpret_cast<const float*>(from), to, x.h * x.w, x.c);
                 });
               }});
}

constexpr Maker kMakers[] = {
    {"normalise", make_normalise},     {"pad", make_pad},       {"random_crop", make_random_crop},
    {"random_flip", make_random_flip}, {"cutout", make_cutout}, {"gather", make_gather},
    {"to_images", make_to_images},
};

}  // namespace

std::span<const Maker> data_makers() { return kMakers; }

}  // namespace expgraph::onednn
