// vector_winograd: the transforms of F(2x2, 3x3) and F(4x4, 3x3) over one tile. Each is a transform
// of columns, then of rows (Lavin and Gray, 2016); its matrices are those of Toom and Cook for the
// points of the scheme.
#include "backends/onednn/vector_winograd.h"

#include "backends/onednn/vector_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/onednn/vector_winograd.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "backends/onednn/vector_channels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace expgraph::onednn {
namespace HWY_NAMESPACE {

HWY_INLINE V times(float factor, V v) { return hn::Mul(hn::Set(f32, factor), v); }
/// sum + factor * v
HWY_INLINE V plus(V sum, float factor, V v) { return hn::MulAdd(hn::Set(f32, factor), v, sum); }

/// The points 0, 1, -1 and infinity.
struct F2 {
  static constexpr int kOutputs = 2, kInputs = 4;

  struct Input {  // B^T
    static HWY_INLINE void run(const V* d, V* t) {
      t[0] = hn::Sub(d[0], d[2]);
      t[1] = hn::Add(d[1], d[2]);
      t[2] = hn::Sub(d[2], d[1]);
      t[3] = hn::Sub(d[1], d[3]);
    }
  };
  struct Output {  // A^T
    static HWY_INLINE void run(const V* m, V* y) {
      y[0] = hn::Add(hn::Add(m[0], m[1]), m[2]);
      y[1] = hn::Sub(hn::Sub(m[1], m[2]), m[3]);
    }
  };
  struct Gradient {  // A
    static HWY_INLINE void run(const V* e, V* t) {
      t[0] = e[0];
      t[1] = hn::Add(e[0], e[1]);
      t[2] = hn::Sub(e[0], e[1]);
      t[3] = hn::Neg(e[1]);
    }
  };
  struct Weights {  // G
    static HWY_INLINE void run(const V* g, V* u) {
      const V even = times(0.5f, hn::Add(g[0], g[2])), odd = times(0.5f, g[1]);
      u[0] = g[0];
      u[1] = hn::Add(even, odd);
      u[2] = hn::Sub(even, odd);
      u[3] = g[2];
    }
  };
  struct WeightsGradient {  // G^T
    static HWY_INLINE void run(const V* u, V* g) {
      const V even = times(0.5f, hn::Add(u[1], u[2]));
      g[0] = hn::Add(u[0], even);
      g[1] = times(0.5f, hn::Sub(u[1], u[2]));
      g[2] = hn::Add(u[3], even);
    }
  };
};

/// The points 0, +-a, +-b and infinity. With a = 5/8 and b = 3/2 all entries of A and B are exact,
/// and the error is half of what the usual 1 and 2 make: 2.5 times that of F2
/// (docs/decisions/0006).
struct F4 {
  static constexpr int kOutputs = 4, kInputs = 6;
  static constexpr float a = 0.625f, b = 1.5f, aa = a * a, bb = b * b;
  // What G divides by: the product of a point's differences from the others.
  static constexpr float at_0 = 1 / (aa * bb), at_a = 1 / (2 * aa * (aa - bb)),
                         at_b = 1 / (2 * bb * (bb - aa));

  struct Input {
    static HWY_INLINE void run(const V* d, V* t) {
      const V even_a = plus(d[4], -bb, d[2]), odd_a = plus(d[3], -bb, d[1]);
      const V even_b = plus(d[4], -aa, d[2]), odd_b = plus(d[3], -aa, d[1]);
      t[0] = plus(even_b, -bb, plus(d[2], -aa, d[0]));
      t[1] = plus(even_a, a, odd_a);
      t[2] = plus(even_a, -a, odd_a);
      t[3] = plus(even_b, b, odd_b);
      t[4] = plus(even_b, -b, odd_b);
      t[5] = plus(plus(d[5], -aa, d[3]), -bb, odd_b);
    }
  };
  struct Output {
    static HWY_INLINE void run(const V* m, V* y) {
      const V even_a = hn::Add(m[1], m[2]), odd_a = hn::Sub(m[1], m[2]);
      const V even_b = hn::Add(m[3], m[4]), odd_b = hn::Sub(m[3], m[4]);
      y[0] = hn::Add(hn::Add(m[0], even_a), even_b);
      y[1] = plus(times(a, odd_a), b, odd_b);
      y[2] = plus(times(aa, even_a), bb, even_b);
      y[3] = plus(plus(m[5], a * aa, odd_a), b * bb, odd_b);
    }
  };
  struct Gradient {
    static HWY_INLINE void run(const V* e, V* t) {
      const V even_a = plus(e[0], aa, e[2]), odd_a = plus(e[1], aa, e[3]);
      const V even_b = plus(e[0], bb, e[2]), odd_b = plus(e[1], bb, e[3]);
      t[0] = e[0];
      t[1] = plus(even_a, a, odd_a);
      t[2] = plus(even_a, -a, odd_a);
      t[3] = plus(even_b, b, odd_b);
      t[4] = plus(even_b, -b, odd_b);
      t[5] = e[3];
    }
  };
  struct Weights {
    static HWY_INLINE void run(const V* g, V* u) {
      const V even_a = times(at_a, plus(g[0], aa, g[2])), odd_a = times(at_a * a, g[1]);
      const V even_b = times(at_b, plus(g[0], bb, g[2])), odd_b = times(at_b * b, g[1]);
      u[0] = times(at_0, g[0]);
      u[1] = hn::Add(even_a, odd_a);
      u[2] = hn::Sub(even_a, odd_a);
      u[3] = hn::Add(even_b, odd_b);
      u[4] = hn::Sub(even_b, odd_b);
      u[5] = g[2];
    }
  };
  struct WeightsGradient {
    static HWY_INLINE void run(const V* u, V* g) {
      const V even_a = times(at_a, hn::Add(u[1], u[2])), odd_a = hn::Sub(u[1], u[2]);
      const V even_b = times(at_b, hn::Add(u[3], u[4])), odd_b = hn::Sub(u[3], u[4]);
      g[0] = plus(hn::Add(even_a, even_b), at_0, u[0]);
      g[1] = plus(times(at_a * a, odd_a), at_b * b, odd_b);
      g[2] = plus(plus(u[5], aa, even_a), bb, even_b);
    }
  };
};

/// Transforms a square of kFrom x kFrom vectors into one of kTo x kTo: columns, then rows.
template <typename Transform, int kFrom, int kTo, typename Load, typename Store>
HWY_INLINE void transform_square(const Load& load, const Store& store) {
  V columns[kFrom][kTo];
#pragma GCC unroll 6
  for (int c = 0; c < kFrom; ++c) {
    V column[kFrom];
#pragma GCC unroll 6
    for (int r = 0; r < kFrom; ++r) column[r] = load(r, c);
    Transform::run(column, columns[c]);
  }
#pragma GCC unroll 6
  for (int r = 0; r < kTo; ++r) {
    V row[kFrom], out[kTo];
#pragma GCC unroll 6
    for (int c = 0; c < kFrom; ++c) row[c] = columns[c][r];
    Transform::run(row, out);
#pragma GCC unroll 6
    for (int c = 0; c < kTo; ++c) store(r, c, out[c]);
  }
}

template <int kSide>
constexpr uint64_t kAllInside = (uint64_t{1} << (kSide * kSide)) - 1;

/// B^T d B of inputs, or A d A^T of a gradient.
template <typename Transform, int kFrom, int kTo, bool kAll>
struct Patch {
  const PatchOf<const float>& patch;
  int64_t channels;
  float* to;
  int64_t step;

  template <int kVectors, bool kWhole>
  HWY_INLINE void run(const Channels<kVectors, kWhole>& at) const {
    const float* corner = patch.corner + at.first;
    const auto load = [&](int r, int c) HWY_ATTR {
      const bool is_inside = kAll || (patch.inside >> (r * kFrom + c) & 1);
      return is_inside ? at.load(corner + r * patch.row + c * channels) : hn::Zero(f32);
    };
    float* out = to + at.first;
    const auto store = [&](int r, int c, V v) HWY_ATTR { at.store(v, out + (r * kTo + c) * step); };
    transform_square<Transform, kFrom, kTo>(load, store);
  }
};

template <typename Transform, int kFrom, int kTo>
HWY_INLINE void transform_patch(const PatchOf<const float>& patch, int64_t channels, float* to,
                                int64_t step) {
  if (patch.inside == kAllInside<kFrom>)
    for_channels(channels, Patch<Transform, kFrom, kTo, true>{patch, channels, to, step});
  else
    for_channels(channels, Patch<Transform, kFrom, kTo, false>{patch, channels, to, step});
}

template <typename Scheme>
HWY_INLINE void input_of(const PatchOf<const float>& patch, int64_t channels, float* to,
                         int64_t step) {
  transform_patch<typename Scheme::Input, Scheme::kInputs, Scheme::kInputs>(patch, channels, to,
                                                                            step);
}

void WinogradInput(WinogradTile tile, const PatchOf<const float>& patch, int64_t channels,
                   float* to, int64_t step) {
  if (tile == WinogradTile::f2) return input_of<F2>(patch, channels, to, step);
  input_of<F4>(patch, channels, to, step);
}

template <typename Scheme>
HWY_INLINE void gradient_of(const PatchOf<const float>& patch, int64_t channels, float* to,
                            int64_t step) {
  transform_patch<typename Scheme::Gradient, Scheme::kOutputs, Scheme::kInputs>(patch, channels, to,
                                                                                step);
}

void WinogradGradient(WinogradTile tile, const PatchOf<const float>& patch, int64_t channels,
                      float* to, int64_t step) {
  if (tile == WinogradTile::f2) return gradient_of<F2>(patch, channels, to, step);
  gradient_of<F4>(patch, channels, to, step);
}

template <typename Scheme, bool kAll, bool kSums>
struct Output {
  const float* from;
  int64_t step;
  const float* bias;
  const PatchOf<float>& patch;
  int64_t channels;
  const TileSums& sums;

  template <int kVectors, bool kWhole>
  HWY_INLINE void run(const Channels<kVectors, kWhole>& at) const {
    const V b = bias ? at.parameter(bias) : hn::Zero(f32);
    const V shift = kSums ? at.parameter(sums.shift) : hn::Zero(f32);
    V sum = hn::Zero(f32), squares = hn::Zero(f32);
    float* corner = patch.corner + at.first;
    const float* m = from + at.first;
    const auto load = [&](int r, int c)
                          HWY_ATTR { return at.load(m + (r * Scheme::kInputs + c) * step); };
    const auto store = [&](int r, int c, V v) HWY_ATTR {
      if (!kAll && !(patch.inside >> (r * Scheme::kOutputs + c) & 1)) return;
      const V y = hn::Add(v, b);
      at.store(y, corner + r * patch.row + c * channels);
      if constexpr (kSums) {
        const V d = hn::Sub(y, shift);
        sum = hn::Add(sum, d);
        squares = hn::MulAdd(d, d, squares);
      }
    };
    transform_square<typename Scheme::Output, Scheme::kInputs, Scheme::kOutputs>(load, store);
    if constexpr (kSums) {
      at.accumulate(sum, sums.sum);
      at.accumulate(squares, sums.squares);
    }
  }
};

template <typename Scheme, bool kAll>
HWY_INLINE void output_of(const float* from, int64_t step, int64_t channels, const float* bias,
                          const PatchOf<float>& patch, const TileSums& sums) {
  if (sums.sum)
    for_channels(channels, Output<Scheme, kAll, true>{from, step, bias, patch, channels, sums});
  else
    for_channels(channels, Output<Scheme, kAll, false>{from, step, bias, patch, channels, sums});
}

template <typename Scheme>
HWY_INLINE void output_of(const float* from, int64_t step, int64_t channels, const float* bias,
                          const PatchOf<float>& patch, const TileSums& sums) {
  if (patch.inside == kAllInside<Scheme::kOutputs>)
    output_of<Scheme, true>(from, step, channels, bias, patch, sums);
  else
    output_of<Scheme, false>(from, step, channels, bias, patch, sums);
}

void WinogradOutput(WinogradTile tile, const float* from, int64_t step, int64_t channels,
                    const float* bias, const PatchOf<float>& patch, const TileSums& sums) {
  if (tile == WinogradTile::f2) return output_of<F2>(from, step, channels, bias, patch, sums);
  output_of<F4>(from, step, channels, bias, patch, sums);
}

template <typename Scheme>
struct PooledOutput {
  const float* from;
  int64_t step;
  const float* bias;
  const TileWindows& windows;
  int64_t channels;
  const TileSums& sums;

  template <int kVectors, bool kWhole>
  HWY_INLINE void run(const Channels<kVectors, kWhole>& at) const {
    const V b = bias ? at.parameter(bias) : hn::Zero(f32);
    const V shift = sums.sum ? at.parameter(sums.shift) : hn::Zero(f32);
    V sum = hn::Zero(f32), squares = hn::Zero(f32);
    const float* m = from + at.first;
    V above[Scheme::kOutputs], left = b;
    const auto load = [&](int r, int c)
                          HWY_ATTR { return at.load(m + (r * Scheme::kInputs + c) * step); };
    const auto store = [&](int r, int c, V v) HWY_ATTR {
      const V y = hn::Add(v, b);
      if (r % 2 == 0) {
        above[c] = y;
      } else if (c % 2 == 0) {
        left = y;
      } else if (r / 2 < windows.rows && c / 2 < windows.columns) {
        V largest = above[c - 1];
        auto place = hn::Zero(i32);
        const auto take = [&](V value, int32_t here) HWY_ATTR {
          const auto larger = hn::Or(hn::Gt(value, largest), hn::IsNaN(value));
          largest = hn::IfThenElse(larger, value, largest);
          place = hn::IfThenElse(hn::RebindMask(i32, larger), hn::Set(i32, here), place);
        };
        take(above[c], 1);
        take(left, 2);
        take(y, 3);
        const int64_t window = r / 2 * windows.row + c / 2 * channels;
        at.store(largest, windows.y + at.first + window);
        if (windows.index) at.store_index(place, {windows.index, false}, window, 0);
        const V d = hn::Sub(largest, shift);
        sum = hn::Add(sum, d);
        squares = hn::MulAdd(d, d, squares);
      }
    };
    transform_square<typename Scheme::Output, Scheme::kInputs, Scheme::kOutputs>(load, store);
    if (sums.sum == nullptr) return;
    at.accumulate(sum, sums.sum);
    at.accumulate(squares, sums.squares);
  }
};

void WinogradPooledOutput(WinogradTile tile, const float* from, int64_t step, int64_t channels,
                          const float* bias, const TileWindows& windows, const TileSums& sums) {
  if (tile == WinogradTile::f2)
    return for_channels(channels, PooledOutput<F2>{from, step, bias, windows, channels, sums});
  for_channels(channels, PooledOutput<F4>{from, step, bias, windows, channels, sums});
}

template <typename Scheme>
struct Weights {
  const float* g;
  int64_t g_step;
  bool turned;
  float* u;
  int64_t u_step;

  template <int kVectors, bool kWhole>
  HWY_INLINE void run(const Channels<kVectors, kWhole>& at) const {
    const auto load = [&](int r, int c) HWY_ATTR {
      const int k = r * 3 + c;
      return at.load(g + at.first + (turned ? 8 - k : k) * g_step);
    };
    const auto store = [&](int r, int c, V v) HWY_ATTR {
      at.store(v, u + at.first + (r * Scheme::kInputs + c) * u_step);
    };
    transform_square<typename Scheme::Weights, 3, Scheme::kInputs>(load, store);
  }
};

void WinogradWeights(WinogradTile tile, const float* g, int64_t g_step, bool turned, int64_t count,
                     float* u, int64_t u_step) {
  if (tile == WinogradTile::f2)
    return for_channels(count, Weights<F2>{g, g_step, turned, u, u_step});
  for_channels(count, Weights<F4>{g, g_step, turned, u, u_step});
}

template <typename Scheme>
struct WeightsGradient {
  const float* u;
  int64_t u_step;
  int parts;
  int64_t part_step;
  float* g;
  int64_t g_step;

  template <int kVectors, bool kWhole>
  HWY_INLINE void run(const Channels<kVectors, kWhole>& at) const {
    const auto load = [&](int r, int c) HWY_ATTR {
      const float* from = u + at.first + (r * Scheme::kInputs + c) * u_step;
      V sum = at.load(from);
      for (int part = 1; part < parts; ++part) sum = hn::Add(sum, at.load(from + part * part_step));
      return sum;
    };
    const auto store = [&](int r, int c, V v)
                           HWY_ATTR { at.store(v, g + at.first + (r * 3 + c) * g_step); };
    transform_square<typename Scheme::WeightsGradient, Scheme::kInputs, 3>(load, store);
  }
};

void WinogradWeightsGradient(WinogradTile tile, const float* u, int64_t u_step, int parts,
                             int64_t part_step, int64_t count, float* g, int64_t g_step) {
  if (tile == WinogradTile::f2)
    return for_channels(count, WeightsGradient<F2>{u, u_step, parts, part_step, g, g_step});
  for_channels(count, WeightsGradient<F4>{u, u_step, parts, part_step, g, g_step});
}

}  // namespace HWY_NAMESPACE
}  // namespace expgraph::onednn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace expgraph::onednn {

HWY_EXPORT(WinogradInput);
HWY_EXPORT(WinogradGradient);
HWY_EXPORT(WinogradOutput);
HWY_EXPORT(WinogradPooledOutput);
HWY_EXPORT(WinogradWeights);
HWY_EXPORT(WinogradWeightsGradient);

void winograd_input(WinogradTile tile, const PatchOf<const float>& patch, int64_t channels,
                    float* to, int64_t step) {
  HWY_DYNAMIC_DISPATCH(WinogradInput)(tile, patch, channels, to, step);
}

void winograd_gradient(WinogradTile tile, const PatchOf<const float>& patch, int64_t channels,
                       float* to, int64_t step) {
  HWY_DYNAMIC_DISPATCH(WinogradGradient)(tile, patch, channels, to, step);
}

void winograd_output(WinogradTile tile, const float* from, int64_t step, int64_t channels,
                     const float* bias, const PatchOf<float>& patch, const TileSums& sums) {
  HWY_DYNAMIC_DISPATCH(WinogradOutput)(tile, from, step, channels, bias, patch, sums);
}

void winograd_pooled_output(WinogradTile tile, const float* from, int64_t step, int64_t channels,
                            const float* bias, const TileWindows& windows, const TileSums& sums) {
  HWY_DYNAMIC_DISPATCH(WinogradPooledOutput)(tile, from, step, channels, bias, windows, sums);
}

void winograd_weights(WinogradTile tile, const float* g, int64_t g_step, bool turned, int64_t count,
                      float* u, int64_t u_step) {
  HWY_DYNAMIC_DISPATCH(WinogradWeights)(tile, g, g_step, turned, count, u, u_step);
}

void winograd_weights_gradient(WinogradTile tile, const float* u, int64_t u_step, int parts,
                               int64_t part_step, int64_t count, float* g, int64_t g_step) {
  HWY_DYNAMIC_DISPATCH(WinogradWeightsGradient)
  (tile, u, u_step, parts, part_step, count, g, g_step);
}

}  // namespace expgraph::onednn
#endif
