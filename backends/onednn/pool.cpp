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

/// f(windows, their first element of x, of y) for row `k` of all rows of y: its windows together,
/// or one by one where padding may cut them.
template <typename F>
void for_row(const PoolShape& pool, int64_t k, const F& f) {
  const int64_t n = k / pool.y.h, oh = k % pool.y.h;
  for (int64_t ow = 0; ow < pool.y.w; ow += pool.padded() ? 1 : pool.y.w) {
    const Clipped at(pool, oh, ow);
    Windows windows = pool.row();
    if (pool.padded())
      windows = {.outputs = 1,
                 .rows = at.row_end - at.row,
                 .columns = at.column_end - at.column,
                 .stride = pool.window.sw,
                 .width = pool.x.w,
                 .first_index = (at.row - at.top) * pool.window.kw + at.column - at.left,
                 .index_width = pool.window.kw};
    f(windows, ((n * pool.x.h + at.row) * pool.x.w + at.column) * pool.x.c,
      (k * pool.y.w + ow) * pool.y.c);
  }
}

}  // namespace

void max_pool(const PoolShape& pool, const MaxPoolOperands& o, const Affine& affine, int threads) {
  const bool stream = pool.y.pixels() * pool.y.c * int64_t{sizeof(float)} > kStreamBytes;
  parallel(threads, pool.x.n * pool.y.h, 1, [&](int, int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k)
      for_row(pool, k, [&](const Windows& windows, int64_t x, int64_t y) {
        max_windows(o.x + x, windows, o.y ? o.y + y : nullptr, index_at(o.index, y), pool.x.c,
                    affine, stream);
      });
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

/// f(n) adds to image n of dx, which is 0 before.
template <typename F>
void add_to_images(const PoolShape& pool, float* dx, int threads, const F& f) {
  const int64_t image = pool.x.c * pool.x.plane();
  parallel(threads, pool.x.n, 1, [&](int, int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      std::fill_n(dx + n * image, image, 0.0f);
      f(n);
    }
  });
}

/// 0 at the pixels of x that lie in no window, from row `k` of all rows of windows to the next.
/// Windows are apart.
void clear_between(const PoolShape& pool, int64_t k, float* dx) {
  const Window& window = pool.window;
  const int64_t n = k / pool.y.h, oh = k % pool.y.h;
  const int64_t row_end = oh + 1 < pool.y.h ? (oh + 1) * window.sh : pool.x.h;
  for (int64_t row = oh * window.sh; row < row_end; ++row) {
    float* line = dx + (n * pool.x.h + row) * pool.x.w * pool.x.c;
    const auto clear = [&](int64_t column, int64_t column_end) {
      std::fill(line + column * pool.x.c, line + column_end * pool.x.c, 0.0f);
    };
    if (row - oh * window.sh >= window.kh) {
      clear(0, pool.x.w);
      continue;
    }
    for (int64_t ow = 0; ow < pool.y.w; ++ow)
      clear(ow * window.sw + window.kw, ow + 1 < pool.y.w ? (ow + 1) * window.sw : pool.x.w);
  }
}

Made make_max_pool_backward(const MakerContext& context) {
  const PoolShape pool(context.node.attributes, context.output(), context.input(0));
  return over_maps(context, [pool, threads = context.threads](const KernelArgs& args) {
    const float* dy = args.inputs[0].as<float>();
    float* dx = args.outputs[0].as<float>();
    const TensorView& index = args.inputs[1];
    if (!pool.apart())
      return add_to_images(pool, dx, threads, [&](int64_t n) {
        for (int64_t oh = 0; oh < pool.y.h; ++oh)
          for_row(pool, n * pool.y.h + oh, [&](const Windows& windows, int64_t x, int64_t y) {
            add_window_gradients(dy + y, index_at(index, y), dx + x, windows, pool.x.c);
          });
      });
    const bool stream = args.outputs[0].type.bytes() > kStreamBytes;
    parallel(threads, pool.x.n * pool.y.h, 1, [&](int, int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        clear_between(pool, k, dx);
        for_row(pool, k, [&](const Windows& windows, int64_t x, int64_t y) {
          set_window_gradients(dy + y, index_at(index, y), dx + x, windows, pool.x.c, stream);
        });
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
    float* dx = args.outputs[0].as<float>();
    add_to_images(pool, dx, threads, [&](int64_t n) {
      float* image = dx + n * pool.x.plane() * channels;
      for_windows(pool, [&](int64_t place, const Clipped& at) {
        const float* from = dy + (n * pool.y.plane() + place) * channels;
        for (int64_t row = at.row; row < at.row_end; ++row)
          for (int64_t column = at.column; column < at.column_end; ++column)
            for (int64_t c = 0; c < channels; ++c)
              image[(row * pool.x.w + column) * channels + c] += from[c] / places;
      });
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
