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

/// Horner's rule, the highest power first.
template <size_t kTerms>
HWY_INLINE V polynomial(const float (&factors)[kTerms], V x) {
  V sum = hn::Set(f32, factors[0]);
#pragma GCC unroll 8
  for (size_t n = 1; n < kTerms; ++n) sum = hn::MulAdd(sum, x, hn::Set(f32, factors[n]));
  return sum;
}

/// 1/2 + x P(x^2) / Q(x^2): what is an odd function of x about 1/2, for half of the work of an
/// exponential. The factors are fitted for the least largest error up to some x.
template <size_t kTerms>
HWY_INLINE V half_and_odd(const float (&up)[kTerms], const float (&down)[kTerms], V x) {
  const V square = hn::Mul(x, x);
  const V ratio = hn::Mul(polynomial(up, square), reciprocal(polynomial(down, square)));
  return hn::MulAdd(x, ratio, hn::Set(f32, 0.5f));
}

/// The part of the standard normal distribution below x, off by at most 1e-8 before rounding; 0
/// below -5.6, where less than 1.1e-8 is left.
HWY_INLINE V normal_below(V x) {
  constexpr float kUp[] = {2.178636802e-8f, 6.486401584e-6f, 1.839548408e-4f,
                           4.768734605e-3f, 3.530232355e-2f, 3.989421096e-1f};
  constexpr float kDown[] = {1.179423128e-6f, 7.867007755e-5f, 1.969524992e-3f,
                             2.94826991e-2f,  2.551542525e-1f, 1.0f};
  const V least = hn::Set(f32, -5.6f), most = hn::Set(f32, 5.6f);
  const V part = half_and_odd(kUp, kDown, hn::Min(hn::Max(x, least), most));
  return hn::IfThenZeroElse(hn::Lt(x, least), part);
}

/// The slope of gelu, off by at most 1.2e-7 before rounding; beyond 5.9 as there. A NaN stays.
HWY_INLINE V gelu_slope(V x) {
  constexpr float kUp[] = {1.929321467e-7f, 3.595618331e-5f,  1.921663987e-5f,
                           1.423032351e-2f, -3.099602464e-2f, 7.978853605e-1f};
  constexpr float kDown[] = {8.95251726e-6f,  1.920360384e-4f, 3.523028322e-3f,
                             4.098016705e-2f, 2.944938238e-1f, 1.0f};
  const V most = hn::Set(f32, 5.9f);
  return half_and_odd(kUp, kDown,
                      hn::IfThenElse(hn::Gt(hn::Abs(x), most), hn::CopySign(most, x), x));
}

/// A NaN stays.
template <Activation::Kind kKind>
HWY_INLINE V activated(KindOf<kKind>, V x, const Activation& activation) {
  if constexpr (kKind == Activation::Kind::relu) return relu_of(x);
  if constexpr (kKind == Activation::Kind::gelu) return hn::Mul(x, normal_below(x));
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
  if constexpr (kKind == Activation::Kind::gelu) return hn::Mul(dy, gelu_slope(of));
  return dy;
}

}  // namespace HWY_NAMESPACE
}  // namespace expgraph::onednn
HWY_AFTER_NAMESPACE();

#endif
