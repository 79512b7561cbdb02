// norm_backward: the gradient of normalisation with that of the activation and the pooling after
// it: one pass for the sums and one for all the rest.
#pragma once

#include <cmath>

#include "backends/onednn/norm_operands.h"
#include "backends/onednn/pool.h"
#include "backends/onednn/tiles.h"

namespace expgraph::onednn {

/// Where the operands are of a chain of gradients: [activation], [max_pool_backward],
/// batch_norm_backward.
struct Backward {
  int dy = 0, y = -1, index = -1, x = 1, scale = -1, bias = -1, mean = 3, inverse_std = 4;
  int dx = 0, dscale = 1, dbias = 2;
  std::optional<PoolShape> pool;  ///< of a part
  Activation activation;
  int64_t splits = 1;
  bool is_short = false;      ///< maps are bf16; all else is f32
  bool tells_maxima = false;  ///< y is relu of the largest of each window of this norm of x
};

class BackwardKernel {
 public:
  BackwardKernel(const Backward& backward, const TensorType& x, int threads)
      : b_(backward),
        map_(part_of(x, backward.splits)),
        space_(map_),
        partials_(map_.c, 2, threads),
        threads_(threads),
        parameters_(map_.c, scratch_),
        maxima_(map_.c, scratch_),
        totals_(map_.c, scratch_) {
    partials_at_ = scratch_.add(partials_.bytes());
    const int64_t run = b_.pool ? b_.pool->window.kh * map_.w : space_.tile;
    runs_ = Runs(b_.is_short, kOperands, run * map_.c, threads, scratch_);
  }
  int64_t scratch_bytes() const { return scratch_.bytes(); }

  void operator()(const KernelArgs& args) const {
    double* dscale = totals_.zeroed(args, 0);
    double* dbias = totals_.zeroed(args, 1);
    for (int64_t part = 0; part < b_.splits; ++part) run_part(args, part, dscale, dbias);
    for (int64_t c = 0; c < map_.c; ++c) {
      if (float* to = output_at(args, b_.dscale)) to[c] = static_cast<float>(dscale[c]);
      if (float* to = output_at(args, b_.dbias)) to[c] = static_cast<float>(dbias[c]);
    }
  }

 private:
  /// dx = scale * inverse_std * (g - mean(g) - z * mean(g * z)), z = (x - mean) * inverse_std.
  /// Adds to the gradients of scale and bias.
  void run_part(const KernelArgs& args, int64_t part, double* dscales, double* dbiases) const {
    const float* mean = input_at(args, b_.mean) + part * map_.c;
    const float* inverse_stds = input_at(args, b_.inverse_std) + part * map_.c;
    const float* scale = input_at(args, b_.scale);
    float* a = parameters_.of(args, 0);
    float* b = parameters_.of(args, 1);
    float* c0 = parameters_.of(args, 2);
    float* bias = parameters_.zeroed(args, 3);
    for (int64_t c = 0; c < map_.c; ++c) a[c] = (scale ? scale[c] : 1) * inverse_stds[c];
    if (const float* given = input_at(args, b_.bias)) std::copy_n(given, map_.c, bias);
    Partials sums = partials_;
    sums.place(args.scratch + partials_at_);
    const Maxima maxima = b_.tells_maxima ? find_maxima(args, part, mean, a) : Maxima();
    for_tiles(args, part, {nullptr, nullptr, b_.activation, a, bias}, RealsOut(),
              [&](int thread, const At& at) {
                if (b_.pool)
                  add_window_gradient_sums(at.g, at.index, at.x, b_.pool->row(), map_.c, mean,
                                           maxima, sums.of(thread, 0), sums.of(thread, 1));
                else
                  add_gradient_sums(at.g, at.x, at.pixels, map_.c, mean, sums.of(thread, 0),
                                    sums.of(thread, 1));
              });
    const double count = static_cast<double>(map_.pixels());
    for (int64_t c = 0; c < map_.c; ++c) {
      const double inverse_std = inverse_stds[c];
      const double dbias = sums.total(0, c), dscale = sums.total(1, c) * inverse_std;
      const double factor = (scale ? double(scale[c]) : 1) * inverse_std;
      b[c] = static_cast<float>(-factor * inverse_std * dscale / count);
      c0[c] = static_cast<float>(-factor * dbias / count);
      dscales[c] += dscale;
      dbiases[c] += dbias;
    }
    if (b_.dx < 0 || args.outputs[static_cast<size_t>(b_.dx)].data == nullptr) return;
    const RealsOut dx = args.outputs[static_cast<size_t>(b_.dx)];
    const NormGradient norm{a, mean, b, c0};
    const bool stream =
        runs_.in_place() && map_.pixels() * map_.c * int64_t{sizeof(float)} > kStreamBytes;
    for_tiles(args, part, {nullptr, nullptr, b_.activation, a, bias}, dx, [&](int, const At& at) {
      if (b_.pool)
        apply_window_gradient(at.g, at.index, at.x, at.dx, b_.pool->row(), map_.c, norm, stream);
      else
        apply_gradient(at.g, at.x, at.dx, at.pixels, map_.c, norm, stream);
    });
  }

  /// Of each channel one window with y above 0, among the first; by it and the slope x follows from
  /// y. Not of a channel whose scale is so small beside its bias that rounding of y would show.
  Maxima find_maxima(const KernelArgs& args, int64_t part, const float* mean,
                     const float* a) const {
    constexpr int64_t kWindows = 256;
    constexpr float kMostBias = 8;  // in units of the scale
    const PoolShape& pool = *b_.pool;
    const float* inverse_std = input_at(args, b_.inverse_std) + part * map_.c;
    const TensorView& index = args.inputs[static_cast<size_t>(b_.index)];
    float* at = maxima_.of(args, 0);
    float* centred = maxima_.of(args, 1);
    float* slope = maxima_.zeroed(args, 2);
    const int64_t first = part * pool.y.pixels();
    int64_t unknown = map_.c;
    for (int64_t k = 0; k < std::min(kWindows, pool.y.pixels()) && unknown > 0; ++k) {
      const int64_t place = first + k, row = place / pool.y.w, column = place % pool.y.w;
      const float* y = input_at(args, b_.y) + place * map_.c;
      const float* corner = input_at(args, b_.x) +
                            (row * pool.window.kh * pool.x.w + column * pool.window.kw) * map_.c;
      for (int64_t c = 0; c < map_.c; ++c) {
        if (slope[c] != 0 || !(y[c] > 0)) continue;
        const int64_t largest = element(index, place * map_.c + c);
        const int64_t pixel = largest / pool.window.kw * pool.x.w + largest % pool.window.kw;
        at[c] = y[c];
        centred[c] = corner[pixel * map_.c + c] - mean[c];
        const float bias = y[c] - a[c] * centred[c];
        if (!(std::abs(bias) * inverse_std[c] <= kMostBias * std::abs(a[c]))) continue;
        if (!std::isnormal(a[c]) || !std::isnormal(1 / a[c])) continue;
        slope[c] = 1 / a[c];
        --unknown;
      }
    }
    return {at, centred, slope};
  }
  static int64_t element(const TensorView& index, int64_t at) {
    return index.type.dtype == DType::i32 ? index.as<int32_t>()[at] : index.as<uint8_t>()[at];
  }

  /// One tile of every operand; with pooling, a row of windows.
  struct At {
    Gradient g;
    PoolIndex index;
    const float* x;
    float* dx;
    int64_t pixels;
  };

  /// `g` is what reaches each tile, but for its pointers; dx is put after the body, if it is there.
  template <typename Body>
  void for_tiles(const KernelArgs& args, int64_t part, Gradient g, const RealsOut& dx,
                 const Body& body) const {
    const auto input = [&](int k) {
      return k < 0 ? RealsIn() : RealsIn(args.inputs[static_cast<size_t>(k)]);
    };
    const RealsIn dy = input(b_.dy), y = input(b_.y), x = input(b_.x);
    // A run of the gradient at `place`, and of the map at `at`.
    const auto tile = [&](int thread, int64_t place, int64_t places, int64_t at, int64_t size,
                          PoolIndex index) {
      Gradient here = g;
      here.dy = dy.at(place, places, runs_.of(args, thread, 0));
      here.y = y.at(place, places, runs_.of(args, thread, 1));
      const float* from = x.at(at, size, runs_.of(args, thread, 2));
      float* to = dx.at(at, runs_.of(args, thread, 3));
      body(thread, At{here, index, from, to, size / map_.c});
      dx.put(at, size, to);
    };
    if (!b_.pool) {
      space_.for_each(threads_, [&](int thread, int64_t pixel, int64_t count) {
        const int64_t at = (part * map_.pixels() + pixel) * map_.c, size = count * map_.c;
        tile(thread, at, size, at, size, {});
      });
      return;
    }
    const PoolShape& pool = *b_.pool;
    const TensorView& index = args.inputs[static_cast<size_t>(b_.index)];
    const int64_t rows = map_.n * pool.y.h, places = pool.y.w * map_.c;
    const int64_t size = places * pool.window.places();
    parallel(threads_, rows, 1, [&](int thread, int64_t begin, int64_t end) {
      for (int64_t row = part * rows + begin; row < part * rows + end; ++row)
        tile(thread, row * places, places, row * size, size, index_at(index, row * places));
    });
  }

  static constexpr int kOperands = 4;  // dy, y, x, dx

  Backward b_;
  Map map_;  // of a part
  TileSpace space_;
  Partials partials_;
  int threads_;
  ScratchPlan scratch_;
  PerChannel<float, 4> parameters_;
  PerChannel<float, 3> maxima_;
  PerChannel<double, 2> totals_;
  int64_t partials_at_ = 0;
  Runs runs_;
};

}  // namespace expgraph::onednn
