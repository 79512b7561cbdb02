// vector_norm: statistics, application and gradient of normalisation over a tile.
#include "backends/onednn/vector_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/onednn/vector_norm.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "backends/onednn/vector_activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace expgraph::onednn {
namespace HWY_NAMESPACE {

constexpr int64_t kRun = 64;  // pixels whose sum is a float

struct AddStatistics {
  const float* x;
  int64_t pixels, channels;
  const float* shift;
  double* sum;
  double* squares;

  template <int kVectors, bool kWhole>
  HWY_INLINE void run(const Channels<kVectors, kWhole>& at) const {
    const float* from = x + at.first;
    V by[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) by[v] = shift ? at.parameter(shift, v) : hn::Zero(f32);
    for (int64_t begin = 0; begin < pixels; begin += kRun) {
      const int64_t end = HWY_MIN(begin + kRun, pixels);
      V s[kVectors], q[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) s[v] = q[v] = hn::Zero(f32);
      for (int64_t p = begin; p < end; ++p) {
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          const V d = hn::Sub(at.load(from + p * channels, v), by[v]);
          s[v] = hn::Add(s[v], d);
          q[v] = hn::MulAdd(d, d, q[v]);
        }
      }
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        at.accumulate(s[v], sum, v);
        if (squares) at.accumulate(q[v], squares, v);
      }
    }
  }
};

void AddStatisticsTo(const float* x, int64_t pixels, int64_t channels, const float* shift,
                     double* sum, double* squares) {
  for_wide_channels(channels, AddStatistics{x, pixels, channels, shift, sum, squares});
}

template <bool kPlus>
struct Apply {
  const float* x;
  const float* plus;
  float* y;
  int64_t pixels, channels;
  const Affine& affine;
  bool stream;

  template <int kVectors, bool kWhole>
  HWY_INLINE void run(const Channels<kVectors, kWhole>& at) const {
    const AffineOf<kVectors> of(at, affine);
    const float* from = x + at.first;
    float* to = y + at.first;
    with_kind(affine.activation.kind, [&](auto kind) HWY_ATTR {
      for (int64_t p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          V value = activated(kind, of(at.load(from + p * channels, v), v), affine.activation);
          if constexpr (kPlus) value = hn::Add(value, at.load(plus + at.first + p * channels, v));
          at.put(value, to + p * channels, v, stream);
        }
      }
    });
  }
};

void ApplyAffine(const float* x, const float* plus, float* y, int64_t pixels, int64_t channels,
                 const Affine& affine, bool stream) {
  const bool streams = stream && is_aligned(y, channels);
  if (plus)
    for_wide_channels(channels, Apply<true>{x, plus, y, pixels, channels, affine, streams});
  else
    for_wide_channels(channels, Apply<false>{x, plus, y, pixels, channels, affine, streams});
  if (streams) hwy::FlushStream();
}

/// The gradient that reaches a normalisation, for some vectors of channels at a pixel.
template <int kVectors>
struct GradientOf {
  template <typename At>
  HWY_INLINE GradientOf(const At& at, const Gradient& gradient, const float* means)
      : g(gradient), first(at.first) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      mean[v] = means ? at.parameter(means, v) : hn::Zero(f32);
      a[v] = g.a ? at.parameter(g.a, v) : hn::Set(f32, 1);
      b[v] = g.b ? at.parameter(g.b, v) : hn::Zero(f32);
    }
  }
  /// `centred` is x - mean there.
  template <Activation::Kind kKind, typename At>
  HWY_INLINE V operator()(KindOf<kKind> kind, const At& at, int64_t place, V centred, int v) const {
    const V dy = at.load(g.dy + first + place, v);
    if constexpr (kKind == Activation::Kind::none) return dy;
    if (kKind == Activation::Kind::gelu || (kKind == Activation::Kind::relu && g.y == nullptr))
      return sloped(kind, dy, hn::MulAdd(a[v], centred, b[v]), g.activation);
    return sloped(kind, dy, at.load(g.y + first + place, v), g.activation);
  }
  const Gradient& g;
  int64_t first;
  V mean[kVectors], a[kVectors], b[kVectors];
};

struct AddGradientSums {
  const Gradient& g;
  const float* x;
  int64_t pixels, channels;
  const float* mean;
  double* sum;
  double* product;

  template <int kVectors, bool kWhole>
  HWY_INLINE void run(const Channels<kVectors, kWhole>& at) const {
    const GradientOf<kVectors> of(at, g, mean);
    const float* from = x + at.first;
    with_kind(g.activation.kind, [&](auto kind) HWY_ATTR {
      for (int64_t begin = 0; begin < pixels; begin += kRun) {
        const int64_t end = HWY_MIN(begin + kRun, pixels);
        V s[kVectors], q[kVectors];
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) s[v] = q[v] = hn::Zero(f32);
        for (int64_t p = begin; p < end; ++p) {
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v) {
            const V centred = hn::Sub(at.load(from + p * channels, v), of.mean[v]);
            const V d = of(kind, at, p * channels, centred, v);
            s[v] = hn::Add(s[v], d);
            q[v] = hn::MulAdd(d, centred, q[v]);
          }
        }
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          at.accumulate(s[v], sum, v);
          if (product) at.accumulate(q[v], product, v);
        }
      }
    });
  }
};

void AddGradientSumsTo(const Gradient& g, const float* x, int64_t pixels, int64_t channels,
                       const float* mean, double* sum, double* product) {
  for_wide_channels(channels, AddGradientSums{g, x, pixels, channels, mean, sum, product});
}

struct ApplyNormGradient {
  const Gradient& g;
  const float* x;
  float* dx;
  int64_t pixels, channels;
  const NormGradient& norm;
  bool stream;

  template <int kVectors, bool kWhole>
  HWY_INLINE void run(const Channels<kVectors, kWhole>& at) const {
    const GradientOf<kVectors> of(at, g, norm.mean);
    V a[kVectors], b[kVectors], c[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      a[v] = at.parameter(norm.a, v);
      b[v] = at.parameter(norm.b, v);
      c[v] = at.parameter(norm.c, v);
    }
    const float* from = x + at.first;
    float* to = dx + at.first;
    with_kind(g.activation.kind, [&](auto kind) HWY_ATTR {
      for (int64_t p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          const V centred = hn::Sub(at.load(from + p * channels, v), of.mean[v]);
          const V d = of(kind, at, p * channels, centred, v);
          const V value = hn::MulAdd(a[v], d, hn::MulAdd(b[v], centred, c[v]));
          at.put(value, to + p * channels, v, stream);
        }
      }
    });
  }
};

void ApplyGradient(const Gradient& g, const float* x, float* dx, int64_t pixels, int64_t channels,
                   const NormGradient& norm, bool stream) {
  const bool streams = stream && is_aligned(dx, channels);
  for_wide_channels(channels, ApplyNormGradient{g, x, dx, pixels, channels, norm, streams});
  if (streams) hwy::FlushStream();
}

const char* VectorTarget() { return hwy::TargetName(HWY_TARGET); }

}  // namespace HWY_NAMESPACE
}  // namespace expgraph::onednn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace expgraph::onednn {

HWY_EXPORT(AddStatisticsTo);
HWY_EXPORT(ApplyAffine);
HWY_EXPORT(AddGradientSumsTo);
HWY_EXPORT(ApplyGradient);
HWY_EXPORT(VectorTarget);

void add_statistics(const float* x, int64_t pixels, int64_t channels, const float* shift,
                    double* sum, double* squares) {
  HWY_DYNAMIC_DISPATCH(AddStatisticsTo)(x, pixels, channels, shift, sum, squares);
}

void apply_affine(const float* x, const float* plus, float* y, int64_t pixels, int64_t channels,
                  const Affine& affine, bool stream) {
  HWY_DYNAMIC_DISPATCH(ApplyAffine)(x, plus, y, pixels, channels, affine, stream);
}

void add_gradient_sums(const Gradient& g, const float* x, int64_t pixels, int64_t channels,
                       const float* mean, double* sum, double* product) {
  HWY_DYNAMIC_DISPATCH(AddGradientSumsTo)(g, x, pixels, channels, mean, sum, product);
}

void apply_gradient(const Gradient& g, const float* x, float* dx, int64_t pixels, int64_t channels,
                    const NormGradient& norm, bool stream) {
  HWY_DYNAMIC_DISPATCH(ApplyGradient)(g, x, dx, pixels, channels, norm, stream);
}

const char* vector_target() { return HWY_DYNAMIC_DISPATCH(VectorTarget)(); }

}  // namespace expgraph::onednn
#endif
