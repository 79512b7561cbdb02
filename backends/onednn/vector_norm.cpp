// vector_norm: statistics, application and gradient of normalisation over a tile.
#include "backends/onednn/vector_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/onednn/vector_norm.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "backends/onednn/vector_channels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace expgraph::onednn {
namespace HWY_NAMESPACE {

constexpr int64_t kRun = 64;  // pixels whose sum is a float

struct AddStatistics {
  ConstTile x;
  int64_t pixels;
  const float* shift;
  double* sum;
  double* squares;

  template <bool kWhole>
  HWY_INLINE void run(const Channels<kWhole>& at) const {
    const float* from = at.of(x);
    const V by = shift ? at.parameter(shift) : hn::Zero(f32);
    for (int64_t begin = 0; begin < pixels; begin += kRun) {
      const int64_t end = HWY_MIN(begin + kRun, pixels);
      // Two sums each: an addition waits for the one before it.
      V s0 = hn::Zero(f32), s1 = s0, q0 = s0, q1 = s0;
      int64_t p = begin;
      for (; p + 2 <= end; p += 2) {
        const V d0 = hn::Sub(at.load(from + p * x.pixel), by);
        const V d1 = hn::Sub(at.load(from + (p + 1) * x.pixel), by);
        s0 = hn::Add(s0, d0);
        s1 = hn::Add(s1, d1);
        q0 = hn::MulAdd(d0, d0, q0);
        q1 = hn::MulAdd(d1, d1, q1);
      }
      if (p < end) {
        const V d = hn::Sub(at.load(from + p * x.pixel), by);
        s0 = hn::Add(s0, d);
        q0 = hn::MulAdd(d, d, q0);
      }
      at.accumulate(hn::Add(s0, s1), sum);
      if (squares) at.accumulate(hn::Add(q0, q1), squares);
    }
  }
};

void AddStatisticsTo(ConstTile x, int64_t pixels, int64_t channels, const float* shift, double* sum,
                     double* squares) {
  for_channels(channels, AddStatistics{x, pixels, shift, sum, squares});
}

struct Apply {
  ConstTile x;
  Tile y;
  int64_t pixels;
  const Affine& affine;

  template <bool kWhole>
  HWY_INLINE void run(const Channels<kWhole>& at) const {
    const AffineOf<kWhole> of(at, affine);
    const float* from = at.of(x);
    float* to = at.of(y);
    if (affine.relu) {
      for (int64_t p = 0; p < pixels; ++p)
        at.store(relu_of(of(at.load(from + p * x.pixel))), to + p * y.pixel);
    } else {
      for (int64_t p = 0; p < pixels; ++p)
        at.store(of(at.load(from + p * x.pixel)), to + p * y.pixel);
    }
  }
};

void ApplyAffine(ConstTile x, Tile y, int64_t pixels, int64_t channels, const Affine& affine) {
  for_channels(channels, Apply{x, y, pixels, affine});
}

struct AddGradientSums {
  const Gradient& g;
  ConstTile x;
  int64_t pixels;
  const float* mean;
  double* sum;
  double* product;

  template <bool kWhole>
  HWY_INLINE void run(const Channels<kWhole>& at) const {
    const V m = at.parameter(mean);
    const float* dy = at.of(g.dy);
    const float* y = g.y ? at.of(g.y) : nullptr;
    const float* from = at.of(x);
    for (int64_t begin = 0; begin < pixels; begin += kRun) {
      const int64_t end = HWY_MIN(begin + kRun, pixels);
      V s = hn::Zero(f32), q = s;
      for (int64_t p = begin; p < end; ++p) {
        const V v = gradient_at(at, dy + p * g.dy.pixel, y ? y + p * g.y.pixel : nullptr);
        s = hn::Add(s, v);
        q = hn::MulAdd(v, hn::Sub(at.load(from + p * x.pixel), m), q);
      }
      at.accumulate(s, sum);
      at.accumulate(q, product);
    }
  }
};

void AddGradientSumsTo(const Gradient& g, ConstTile x, int64_t pixels, int64_t channels,
                       const float* mean, double* sum, double* product) {
  for_channels(channels, AddGradientSums{g, x, pixels, mean, sum, product});
}

struct ApplyNormGradient {
  const Gradient& g;
  ConstTile x;
  Tile dx;
  int64_t pixels;
  const NormGradient& norm;

  template <bool kWhole>
  HWY_INLINE void run(const Channels<kWhole>& at) const {
    const V a = at.parameter(norm.a), m = at.parameter(norm.mean);
    const V b = at.parameter(norm.b), c = at.parameter(norm.c);
    const float* dy = at.of(g.dy);
    const float* y = g.y ? at.of(g.y) : nullptr;
    const float* from = at.of(x);
    float* to = at.of(dx);
    for (int64_t p = 0; p < pixels; ++p) {
      const V v = gradient_at(at, dy + p * g.dy.pixel, y ? y + p * g.y.pixel : nullptr);
      const V d = hn::Sub(at.load(from + p * x.pixel), m);
      at.store(hn::MulAdd(a, v, hn::MulAdd(b, d, c)), to + p * dx.pixel);
    }
  }
};

void ApplyGradient(const Gradient& g, ConstTile x, Tile dx, int64_t pixels, int64_t channels,
                   const NormGradient& norm) {
  for_channels(channels, ApplyNormGradient{g, x, dx, pixels, norm});
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

void add_statistics(ConstTile x, int64_t pixels, int64_t channels, const float* shift, double* sum,
                    double* squares) {
  HWY_DYNAMIC_DISPATCH(AddStatisticsTo)(x, pixels, channels, shift, sum, squares);
}

void apply_affine(ConstTile x, Tile y, int64_t pixels, int64_t channels, const Affine& affine) {
  HWY_DYNAMIC_DISPATCH(ApplyAffine)(x, y, pixels, channels, affine);
}

void add_gradient_sums(const Gradient& g, ConstTile x, int64_t pixels, int64_t channels,
                       const float* mean, double* sum, double* product) {
  HWY_DYNAMIC_DISPATCH(AddGradientSumsTo)(g, x, pixels, channels, mean, sum, product);
}

void apply_gradient(const Gradient& g, ConstTile x, Tile dx, int64_t pixels, int64_t channels,
                    const NormGradient& norm) {
  HWY_DYNAMIC_DISPATCH(ApplyGradient)(g, x, dx, pixels, channels, norm);
}

const char* vector_target() { return HWY_DYNAMIC_DISPATCH(VectorTarget)(); }

}  // namespace expgraph::onednn
#endif
