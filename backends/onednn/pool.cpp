// pool: max and average pooling and their gradients, alone.
#include "backends/onednn/pool.h"

#include <vector>

#include "backends/onednn/parallel.h"

namespace expgraph::onednn {

namespace {

/// The part of a window that lies within the map.
struct Clipped {
  Clipped(const PoolShape& pool, int64_t oh, int64_t ow)
      : top(oh * pool.window.sh - pool.window.ph),
        left(ow * pool.window.sw - pool.window.pw),
        row(std::max<int64_t>(top, 0)),
        column(std::max<int64_t>(left, 0)),
        row_end(std::min(top + pool.window.kh, pool.x.h)),
        column_end(std::min(left + pool.window.kw, pool.x.w)) {}
  int64_t top, left;  ///< of the window; negative in the padding
  int64_t row, column, row_end, column_end;
};

/// f(place in y's plane, clipped window) for every output of an image.
template <typename F>
void for_windows(const PoolShape& pool, const F& f) {
  for (int64_t oh = 0; oh < pool.y.h; ++oh)
    for (int64_t ow = 0; ow < pool.y.w; ++ow) f(oh * pool.y.w + ow, Clipped(pool, oh, ow));
}

}  // namespace

void max_pool(const PoolShape& pool, const MaxPoolOperands& o, const Affine& affine, int threads) {
  const bool padded = pool.window.ph > 0 || pool.window.pw > 0;
  parallel(threads, pool.x.n * pool.y.h, 1, [&](int, int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const int64_t n = k / pool.y.h, oh = k % pool.y.h;
      for (int64_t ow = 0; ow < pool.y.w; ow += padded ? 1 : pool.y.w) {
        const Clipped at(pool, oh, ow);
        Windows windows = pool.row();
        if (padded)
          windows = {.outputs = 1,
                     .rows = at.row_end - at.row,
                     .columns = at.column_end - at.column,
                     .stride = pool.window.sw,
                     .width = pool.x.w,
                     .first_index = (at.row - at.top) * pool.window.kw + at.column - at.left,
                     .index_width = pool.window.kw};
        const int64_t place = (k * pool.y.w + ow) * pool.y.c;
        max_windows(o.x + ((n * pool.x.h + at.row) * pool.x.w + at.column) * pool.x.c, windows,
                    o.y ? o.y + place : nullptr, index_at(o.index, place), pool.x.c, affine);
      }
    }
  });
}

namespace {

/// A kernel over maps with their channels last.
Made over_maps(const MakerContext& context, std::function<void(const KernelArgs&)> run) {
  const Layout layout = map_layout(context.input(0));
  return {{std::move(run)},
          std::vector<Layout>(context.node.inputs.size(), layout),
          std::vector<Layout>(context.node.outputs.size(), layout)};
}

Made make_max_pool(const MakerContext& context) {
  const PoolShape pool(context.node.attributes, context.input(0), context.output());
  return over_maps(context, [pool, threads = context.threads](const KernelArgs& args) {
    max_pool(pool, {args.inputs[0].as<float>(), args.outputs[0].as<float>(), args.outputs[1]}, {},
             threads);
  });
}

/// f(image, output pixel of all, clipped window) fills dx of every image, which is 0 before.
template <typename F>
void fill_gradient(const PoolShape& pool, float* dx, int threads, const F& f) {
  const int64_t image = pool.x.c * pool.x.plane();
  parallel(threads, pool.x.n, 1, [&](int, int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      std::fill_n(dx + n * image, image, 0.0f);
      for_windows(pool, [&](int64_t place, const Clipped& at) {
        f(dx + n * image, n * pool.y.plane() + place, at);
      });
    }
  });
}

Made make_max_pool_backward(const MakerContext& context) {
  const PoolShape pool(context.node.attributes, context.output(), context.input(0));
  return over_maps(context, [pool, threads = context.threads](const KernelArgs& args) {
    const float* dy = args.inputs[0].as<float>();
    const TensorView& index = args.inputs[1];
    const int64_t channels = pool.x.c;
    fill_gradient(pool, args.outputs[0].as<float>(), threads,
                  [&](float* dx, int64_t pixel, const Clipped& at) {
                    for (int64_t c = 0; c < channels; ++c) {
                      const int64_t from = pixel * channels + c;
                      const int64_t place = index.type.dtype == DType::u8
                                                ? index.as<uint8_t>()[from]
                                                : index.as<int32_t>()[from];
                      const int64_t row = at.top + place / pool.window.kw;
                      const int64_t column = at.left + place % pool.window.kw;
                      dx[(row * pool.x.w + column) * channels + c] += dy[from];
                    }
                  });
  });
}

Made make_average_pool(const MakerContext& context) {
  const PoolShape pool(context.node.attributes, context.input(0), context.output());
  return over_maps(context, [pool, threads = context.threads](const KernelArgs& args) {
    const float* x = args.inputs[0].as<float>();
    float* y = args.outputs[0].as<float>();
    const int64_t channels = pool.x.c;
    const double share = 1.0 / static_cast<double>(pool.window.places());
    parallel(threads, pool.x.n, 1, [&](int, int64_t begin, int64_t end) {
      std::vector<double> sums(static_cast<size_t>(channels));
      for (int64_t n = begin; n < end; ++n) {
        for_windows(pool, [&](int64_t place, const Clipped& at) {
          std::fill(sums.begin(), sums.end(), 0);
          for (int64_t row = at.row; row < at.row_end; ++row)
            add_statistics(x + ((n * pool.x.h + row) * pool.x.w + at.column) * channels,
                           at.column_end - at.column, channels, nullptr, sums.data(), nullptr);
          float* to = y + (n * pool.y.plane() + place) * channels;
          for (const double sum : sums) *to++ = static_cast<float>(sum * share);
        });
      }
    });
  });
}

Made make_average_pool_backward(const MakerContext& context) {
  const PoolShape pool(context.node.attributes, context.output(), context.input(0));
  return over_maps(context, [pool, threads = context.threads](const KernelArgs& args) {
    const float* dy = args.inputs[0].as<float>();
    const int64_t channels = pool.x.c;
    const float places = static_cast<float>(pool.window.places());
    fill_gradient(pool, args.outputs[0].as<float>(), threads,
                  [&](float* dx, int64_t pixel, const Clipped& at) {
                    for (int64_t row = at.row; row < at.row_end; ++row)
                      for (int64_t column = at.column; column < at.column_end; ++column)
                        for (int64_t c = 0; c < channels; ++c)
                          dx[(row * pool.x.w + column) * channels + c] +=
                              dy[pixel * channels + c] / places;
                  });
  });
}

constexpr Maker kMakers[] = {
    {"max_pool", make_max_pool},
    {"max_pool_backward", make_max_pool_backward},
    {"average_pool", make_average_pool},
    {"average_pool_backward", make_average_pool_backward},
};

}  // namespace

std::span<const Maker> pool_makers() { return kMakers; }

}  // namespace expgraph::onednn
