// vector_activation: relu, celu and gelu, and their slopes, of a vector, for each target.
#if defined(EXPGRAPH_VECTOR_ACTIVATION_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef EXPGRAPH_VECTOR_ACTIVATION_INL_H
#undef EXPGRAPH_VECTOR_ACTIVATION_INL_H
#else
#define EXPGRAPH_VECTOR_ACTIVATION_INL_H
#endif

#include <hwy/contrib/math/math-inl.h>

#include <type_traits>

#include "backends/onednn/vector_channels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace expgraph::onednn {
namespace HWY_NAMESPACE {

template <Activation::Kind kKind>
using KindOf = std::integral_constant<Activation::Kind, kKind>;

/// body(KindOf<kind>()), so that loops are compiled for each kind.
template <typename Body>
HWY_INLINE void with_kind(Activation::Kind kind, const Body& body) {
  switch (kind) {
    case Activation::Kind::none:
      return body(KindOf<Activation::Kind::none>());
    case Activation::Kind::relu:
      return body(KindOf<Activation::Kind::relu>());
    case Activation::Kind::celu:
      return body(KindOf<Activation::Kind::celu>());
    case Activation::Kind::gelu:
      return body(KindOf<Activation::Kind::gelu>());
  }
}

/// 1 / v for v from 1 on. A division takes as long as all else here: where the estimate is good to
/// 12 bits, one step of Newton's method makes it as exact.
HWY_INLINE V reciprocal(V v) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR
  const V estimate = hn::ApproximateReciprocal(v);
  return hn::Mul(estimate, hn::NegMulAdd(v, estimate, hn::Set(f32, 2)));
#else
  return hn::Div(hn::Set(f32, 1), v);
#endif
}

/// 2^v for v up to 0, of which the least is 2^-126: the series of 2^f for the fraction f of v,
/// times a power of two by its exponent. Off by at most 2 units of the last place.
HWY_INLINE V power_of_2(V v) {
  v = hn::Max(v, hn::Set(f32, -126));
  const V whole = hn::Round(v), f = hn::Sub(v, whole);
  constexpr float kSeries[] = {1.5252733804e-5f, 1.5403530393e-4f, 1.3333558146e-3f,
                               9.6181291076e-3f, 5.5504108665e-2f, 2.4022650696e-1f,
                               6.9314718056e-1f, 1.0f};  // log(2)^n / n!, n from 7 down to 0
  V sum = hn::Set(f32, kSeries[0]);
#pragma GCC unroll 8
  for (int n = 1; n < 8; ++n) sum = hn::MulAdd(sum, f, hn::Set(f32, kSeries[n]));
  const auto exponent = hn::ShiftLeft<23>(hn::ConvertTo(i32, whole));
  return hn::BitCast(f32, hn::Add(hn::BitCast(i32, sum), exponent));
}

/// Of the standard normal distribution: the part below x, and exp(-x^2 / 2). The error function is
/// Abramowitz and Stegun's 7.1.26, off by at most 1.5e-7; below 0 nothing cancels. Beyond 13 all is
/// as at 13, where less than 1e-37 is left.
struct Normal {
  HWY_INLINE explicit Normal(V x) {
    const V size = hn::Min(hn::Abs(x), hn::Set(f32, 13));
    const V t = reciprocal(hn::MulAdd(size, hn::Set(f32, 0.23164189f), hn::Set(f32, 1)));
    V sum = hn::MulAdd(t, hn::Set(f32, 1.061405429f), hn::Set(f32, -1.453152027f));
    sum = hn::MulAdd(t, sum, hn::Set(f32, 1.421413741f));
    sum = hn::MulAdd(t, sum, hn::Set(f32, -0.284496736f));
    sum = hn::MulAdd(t, sum, hn::Set(f32, 0.254829592f));
    constexpr float kHalfLog2e = 0.72134752f;
    bell = power_of_2(hn::Mul(hn::Mul(size, size), hn::Set(f32, -kHalfLog2e)));
    const V tail = hn::Mul(hn::Mul(hn::Set(f32, 0.5f), hn::Mul(t, sum)), bell);
    below = hn::IfThenElse(hn::Lt(x, hn::Zero(f32)), tail, hn::Sub(hn::Set(f32, 1), tail));
  }
  V below, bell;
};

/// A NaN stays.
template <Activation::Kind kKind>
HWY_INLINE V activated(KindOf<kKind>, V x, const Activation& activation) {
  if constexpr (kKind == Activation::Kind::relu) return relu_of(x);
  if constexpr (kKind == Activation::Kind::gelu) return hn::Mul(x, Normal(x).below);
  if constexpr (kKind == Activation::Kind::celu) {
    const V alpha = hn::Set(f32, activation.alpha), rest = hn::Set(f32, 1 / activation.alpha);
    const V low = hn::Mul(alpha, hn::Expm1(f32, hn::Min(hn::Mul(x, rest), hn::Zero(f32))));
    return hn::IfThenElse(hn::Lt(x, hn::Zero(f32)), low, x);
  }
  return x;
}

/// dy times the slope; `of` is the output, of gelu the input.
template <Activation::Kind kKind>
HWY_INLINE V sloped(KindOf<kKind>, V dy, V of, const Activation& activation) {
  const V zero = hn::Zero(f32);
  if constexpr (kKind == Activation::Kind::relu) return hn::IfThenElseZero(hn::Gt(of, zero), dy);
  if constexpr (kKind == Activation::Kind::celu) {
    const V slope = hn::MulAdd(of, hn::Set(f32, 1 / activation.alpha), hn::Set(f32, 1));
    return hn::IfThenElse(hn::Gt(of, zero), dy, hn::Mul(dy, slope));
  }
  if constexpr (kKind == Activation::Kind::gelu) {
    const Normal normal(of);
    const V density = hn::Mul(normal.bell, hn::Set(f32, 0.39894228f));
    return hn::Mul(dy, hn::MulAdd(of, density, normal.below));
  }
  return dy;
}

}  // namespace HWY_NAMESPACE
}  // namespace expgraph::onednn
HWY_AFTER_NAMESPACE();

#endif
