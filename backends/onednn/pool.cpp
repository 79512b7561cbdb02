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

Runs pool_runs(const PoolShape& pool, bool buffered, int threads, ScratchPlan& scratch) {
  return {buffered, 2, std::max(pool.window.kh, pool.window.sh) * pool.x.w * pool.x.c, threads,
          scratch};
}

void max_pool(const PoolShape& pool, const MaxPoolOperands& o, const Affine& affine,
              const Runs& runs, const KernelArgs& args, int threads) {
  const bool large = pool.y.pixels() * pool.y.c * int64_t{sizeof(float)} > kStreamBytes;
  const bool stream = large && !o.y.is_short();
  if (o.leaves) o.leaves->clear();
  parallel(threads, pool.x.n * pool.y.h, 1, [&](int thread, int64_t begin, int64_t end) {
    float* x_run = runs.of(args, thread, 0);
    float* y_run = runs.of(args, thread, 1);
    bool starts = true;
    for (int64_t k = begin; k < end; ++k)
      for_row(pool, k, [&](const Windows& windows, int64_t x, int64_t y) {
        const int64_t reach = (windows.rows - 1) * windows.width +
                              (windows.outputs - 1) * windows.stride + windows.columns;
        const int64_t size = windows.outputs * pool.y.c;
        float* to = o.leaves ? y_run : o.y.at(y, y_run);
        max_windows(o.x.at(x, reach * pool.x.c, x_run), windows, to, index_at(o.index, y), pool.x.c,
                    affine, stream && !o.leaves);
        if (o.leaves) {  // of a row that is in the cache
          if (starts) o.leaves->start(thread, to);
          starts = false;
          Moments::Part& part = o.leaves->part(thread);
          add_statistics(to, windows.outputs, pool.y.c, part.shift.data(), part.sum.data(),
                         part.squares.data());
          part.pixels += windows.outputs;
          if (!o.y.is_short())
            apply_affine(to, nullptr, o.y.at(y, nullptr), windows.outputs, pool.y.c, {}, stream);
        }
        o.y.put(y, size, to);
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
  ScratchPlan scratch;
  const bool buffered = context.is_short(0) || context.leaves;
  const Runs runs = pool_runs(pool, buffered, context.threads, scratch);
  const auto run = [pool, runs, leaves = context.leaves,
                    threads = context.threads](const KernelArgs& args) {
    max_pool(pool, {args.inputs[0], args.outputs[0], args.outputs[1], leaves.get()}, {}, runs, args,
             threads);
  };
  Made made = over_maps(context, run);
  made.kernel.scratch_bytes = scratch.bytes();
  made.typed = true;
  return made;
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

/// Rows of x from row `k` of all rows of windows to the next. Windows are apart.
struct Strip {
  Strip(const PoolShape& pool, int64_t k) {
    const int64_t oh = k % pool.y.h, row = oh * pool.window.sh;
    const int64_t row_end = oh + 1 < pool.y.h ? row + pool.window.sh : pool.x.h;
    first = (k / pool.y.h * pool.x.h + row) * pool.x.w * pool.x.c;
    rows = row_end - row;
  }
  int64_t first, rows;
};

/// 0 at the pixels of a strip that lie in no window.
void clear_between(const PoolShape& pool, const Strip& strip, float* dx) {
  const Window& window = pool.window;
  for (int64_t row = 0; row < strip.rows; ++row, dx += pool.x.w * pool.x.c) {
    const auto clear = [&](int64_t column, int64_t column_end) {
      std::fill(dx + column * pool.x.c, dx + column_end * pool.x.c, 0.0f);
    };
    if (row >= window.kh) {
      clear(0, pool.x.w);
      continue;
    }
    for (int64_t ow = 0; ow < pool.y.w; ++ow)
      clear(ow * window.sw + window.kw, ow + 1 < pool.y.w ? (ow + 1) * window.sw : pool.x.w);
  }
}

/// Windows are apart.
Made max_pool_backward_by_strips(const MakerContext& context, const PoolShape& pool) {
  ScratchPlan scratch;
  int64_t most = 0;
  for (int64_t k = 0; k < pool.y.h; ++k) most = std::max(most, Strip(pool, k).rows);
  const Runs runs(context.is_short(0), 2, most * pool.x.w * pool.x.c, context.threads, scratch);
  const auto run = [pool, runs, threads = context.threads](const KernelArgs& args) {
    const RealsIn dy = args.inputs[0];
    const RealsOut dx = args.outputs[0];
    const int64_t outputs = pool.y.w * pool.y.c;
    const bool stream = runs.in_place() && args.outputs[0].type.bytes() > kStreamBytes;
    parallel(threads, pool.x.n * pool.y.h, 1, [&](int thread, int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        const Strip strip(pool, k);
        float* to = dx.at(strip.first, runs.of(args, thread, 0));
        clear_between(pool, strip, to);
        set_window_gradients(dy.at(k * outputs, outputs, runs.of(args, thread, 1)),
                             index_at(args.inputs[1], k * outputs), to, pool.row(), pool.x.c,
                             stream);
        dx.put(strip.first, strip.rows * pool.x.w * pool.x.c, to);
      }
    });
  };
  Made made = over_maps(context, run);
  made.kernel.scratch_bytes = scratch.bytes();
  made.typed = true;
  return made;
}

Made make_max_pool_backward(const MakerContext& context) {
  const PoolShape pool(context.node.attributes, context.output(), context.input(0));
  if (pool.apart()) return max_pool_backward_by_strips(context, pool);
  return over_maps(context, [pool, threads = context.threads](const KernelArgs& args) {
    const float* dy = args.inputs[0].as<float>();
    float* dx = args.outputs[0].as<float>();
    add_to_images(pool, dx, threads, [&](int64_t n) {
      for (int64_t oh = 0; oh < pool.y.h; ++oh)
        for_row(pool, n * pool.y.h + oh, [&](const Windows& windows, int64_t x, int64_t y) {
          add_window_gradients(dy + y, index_at(args.inputs[1], y), dx + x, windows, pool.x.c);
        });
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
