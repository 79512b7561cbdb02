// vector_winograd: the transforms of F(2x2, 3x3) over one tile.
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

template <int kSide, typename At, typename T>
HWY_INLINE V load_pixel(const At& at, const PatchOf<T>& patch, const float* corner,
                        int64_t channels, int r, int c) {
  if (!(patch.inside >> (r * kSide + c) & 1)) return hn::Zero(f32);
  return at.load(corner + r * patch.row + c * channels);
}

/// B^T over four values: d0 - d2, d1 + d2, d2 - d1, d1 - d3.
HWY_INLINE void input_row(V d0, V d1, V d2, V d3, V& t0, V& t1, V& t2, V& t3) {
  t0 = hn::Sub(d0, d2);
  t1 = hn::Add(d1, d2);
  t2 = hn::Sub(d2, d1);
  t3 = hn::Sub(d1, d3);
}

struct Input {
  const PatchOf<const float>& patch;
  int64_t channels;
  float* to;
  int64_t step;

  template <int kVectors, bool kWhole>
  HWY_INLINE void run(const Channels<kVectors, kWhole>& at) const {
    const float* corner = patch.corner + at.first;
    V t00, t01, t02, t03, t10, t11, t12, t13, t20, t21, t22, t23, t30, t31, t32, t33;
    const auto column = [&](int c, V& t0, V& t1, V& t2, V& t3) HWY_ATTR {
      input_row(load_pixel<4>(at, patch, corner, channels, 0, c),
                load_pixel<4>(at, patch, corner, channels, 1, c),
                load_pixel<4>(at, patch, corner, channels, 2, c),
                load_pixel<4>(at, patch, corner, channels, 3, c), t0, t1, t2, t3);
    };
    column(0, t00, t10, t20, t30);
    column(1, t01, t11, t21, t31);
    column(2, t02, t12, t22, t32);
    column(3, t03, t13, t23, t33);
    const auto row = [&](int r, V d0, V d1, V d2, V d3) HWY_ATTR {
      V u0, u1, u2, u3;
      input_row(d0, d1, d2, d3, u0, u1, u2, u3);
      float* out = to + at.first + r * 4 * step;
      at.store(u0, out);
      at.store(u1, out + step);
      at.store(u2, out + 2 * step);
      at.store(u3, out + 3 * step);
    };
    row(0, t00, t01, t02, t03);
    row(1, t10, t11, t12, t13);
    row(2, t20, t21, t22, t23);
    row(3, t30, t31, t32, t33);
  }
};

void WinogradInput(const PatchOf<const float>& patch, int64_t channels, float* to, int64_t step) {
  for_channels(channels, Input{patch, channels, to, step});
}

struct OutputGradient {
  const PatchOf<const float>& patch;
  int64_t channels;
  float* to;
  int64_t step;

  template <int kVectors, bool kWhole>
  HWY_INLINE void run(const Channels<kVectors, kWhole>& at) const {
    const float* corner = patch.corner + at.first;
    const V d00 = load_pixel<2>(at, patch, corner, channels, 0, 0);
    const V d01 = load_pixel<2>(at, patch, corner, channels, 0, 1);
    const V d10 = load_pixel<2>(at, patch, corner, channels, 1, 0);
    const V d11 = load_pixel<2>(at, patch, corner, channels, 1, 1);
    // A over two values: e0, e0 + e1, e0 - e1, -e1.
    const auto row = [&](int r, V e0, V e1) HWY_ATTR {
      float* out = to + at.first + r * 4 * step;
      at.store(e0, out);
      at.store(hn::Add(e0, e1), out + step);
      at.store(hn::Sub(e0, e1), out + 2 * step);
      at.store(hn::Neg(e1), out + 3 * step);
    };
    row(0, d00, d01);
    row(1, hn::Add(d00, d10), hn::Add(d01, d11));
    row(2, hn::Sub(d00, d10), hn::Sub(d01, d11));
    row(3, hn::Neg(d10), hn::Neg(d11));
  }
};

void WinogradGradient(const PatchOf<const float>& patch, int64_t channels, float* to,
                      int64_t step) {
  for_channels(channels, OutputGradient{patch, channels, to, step});
}

struct Output {
  const float* from;
  int64_t step;
  const float* bias;
  const PatchOf<float>& patch;
  int64_t channels;

  template <int kVectors, bool kWhole>
  HWY_INLINE void run(const Channels<kVectors, kWhole>& at) const {
    const V b = bias ? at.parameter(bias) : hn::Zero(f32);
    float* corner = patch.corner + at.first;
    const float* m = from + at.first;
    // A^T over four values: m0 + m1 + m2, m1 - m2 - m3.
    const auto columns = [&](int c, V& s0, V& s1) HWY_ATTR {
      const V m0 = at.load(m + c * step), m1 = at.load(m + (4 + c) * step);
      const V m2 = at.load(m + (8 + c) * step), m3 = at.load(m + (12 + c) * step);
      s0 = hn::Add(hn::Add(m0, m1), m2);
      s1 = hn::Sub(hn::Sub(m1, m2), m3);
    };
    V s00, s01, s02, s03, s10, s11, s12, s13;
    columns(0, s00, s10);
    columns(1, s01, s11);
    columns(2, s02, s12);
    columns(3, s03, s13);
    const auto put = [&](int r, int c, V v) HWY_ATTR {
      if (patch.inside >> (r * 2 + c) & 1)
        at.store(hn::Add(v, b), corner + r * patch.row + c * channels);
    };
    put(0, 0, hn::Add(hn::Add(s00, s01), s02));
    put(0, 1, hn::Sub(hn::Sub(s01, s02), s03));
    put(1, 0, hn::Add(hn::Add(s10, s11), s12));
    put(1, 1, hn::Sub(hn::Sub(s11, s12), s13));
  }
};

void WinogradOutput(const float* from, int64_t step, int64_t channels, const float* bias,
                    const PatchOf<float>& patch) {
  for_channels(channels, Output{from, step, bias, patch, channels});
}

/// G over three values: g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2.
HWY_INLINE void weights_row(V g0, V g1, V g2, V* t) {
  const V half = hn::Set(f32, 0.5f), sum = hn::Mul(half, hn::Add(g0, g2)), mid = hn::Mul(half, g1);
  t[0] = g0;
  t[1] = hn::Add(sum, mid);
  t[2] = hn::Sub(sum, mid);
  t[3] = g2;
}

struct Weights {
  const float* g;
  int64_t g_step;
  bool turned;
  float* u;
  int64_t u_step;

  template <int kVectors, bool kWhole>
  HWY_INLINE void run(const Channels<kVectors, kWhole>& at) const {
    const auto load = [&](int k) HWY_ATTR {
      return at.load(g + at.first + (turned ? 8 - k : k) * g_step);
    };
    V t[3][4];  // columns of G g
    for (int c = 0; c < 3; ++c) weights_row(load(c), load(3 + c), load(6 + c), t[c]);
    for (int r = 0; r < 4; ++r) {
      V row[4];
      weights_row(t[0][r], t[1][r], t[2][r], row);
      for (int c = 0; c < 4; ++c) at.store(row[c], u + at.first + (r * 4 + c) * u_step);
    }
  }
};

void WinogradWeights(const float* g, int64_t g_step, bool turned, int64_t count, float* u,
                     int64_t u_step) {
  for_channels(count, Weights{g, g_step, turned, u, u_step});
}

/// G^T over four values: u0 + (u1 + u2) / 2, (u1 - u2) / 2, u3 + (u1 + u2) / 2.
HWY_INLINE void weights_gradient_row(V u0, V u1, V u2, V u3, V* t) {
  const V half = hn::Set(f32, 0.5f), sum = hn::Mul(half, hn::Add(u1, u2));
  t[0] = hn::Add(u0, sum);
  t[1] = hn::Mul(half, hn::Sub(u1, u2));
  t[2] = hn::Add(u3, sum);
}

struct WeightsGradients {
  const float* u;
  int64_t u_step;
  int parts;
  int64_t part_step;
  float* g;
  int64_t g_step;

  template <int kVectors, bool kWhole>
  HWY_INLINE void run(const Channels<kVectors, kWhole>& at) const {
    const auto load = [&](int k) HWY_ATTR {
      const float* from = u + at.first + k * u_step;
      V sum = at.load(from);
      for (int part = 1; part < parts; ++part) sum = hn::Add(sum, at.load(from + part * part_step));
      return sum;
    };
    V t[4][3];  // columns of G^T u
    for (int c = 0; c < 4; ++c)
      weights_gradient_row(load(c), load(4 + c), load(8 + c), load(12 + c), t[c]);
    for (int r = 0; r < 3; ++r) {
      V row[3];
      weights_gradient_row(t[0][r], t[1][r], t[2][r], t[3][r], row);
      for (int c = 0; c < 3; ++c) at.store(row[c], g + at.first + (r * 3 + c) * g_step);
    }
  }
};

void WinogradWeightsGradient(const float* u, int64_t u_step, int parts, int64_t part_step,
                             int64_t count, float* g, int64_t g_step) {
  for_channels(count, WeightsGradients{u, u_step, parts, part_step, g, g_step});
}

}  // namespace HWY_NAMESPACE
}  // namespace expgraph::onednn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace expgraph::onednn {

HWY_EXPORT(WinogradInput);
HWY_EXPORT(WinogradGradient);
HWY_EXPORT(WinogradOutput);
HWY_EXPORT(WinogradWeights);
HWY_EXPORT(WinogradWeightsGradient);

void winograd_input(const PatchOf<const float>& patch, int64_t channels, float* to, int64_t step) {
  HWY_DYNAMIC_DISPATCH(WinogradInput)(patch, channels, to, step);
}

void winograd_gradient(const PatchOf<const float>& patch, int64_t channels, float* to,
                       int64_t step) {
  HWY_DYNAMIC_DISPATCH(WinogradGradient)(patch, channels, to, step);
}

void winograd_output(const float* from, int64_t step, int64_t channels, const float* bias,
                     const PatchOf<float>& patch) {
  HWY_DYNAMIC_DISPATCH(WinogradOutput)(from, step, channels, bias, patch);
}

void winograd_weights(const float* g, int64_t g_step, bool turned, int64_t count, float* u,
                      int64_t u_step) {
  HWY_DYNAMIC_DISPATCH(WinogradWeights)(g, g_step, turned, count, u, u_step);
}

void winograd_weights_gradient(const float* u, int64_t u_step, int parts, int64_t part_step,
                               int64_t count, float* g, int64_t g_step) {
  HWY_DYNAMIC_DISPATCH(WinogradWeightsGradient)(u, u_step, parts, part_step, count, g, g_step);
}

}  // namespace expgraph::onednn
#endif
