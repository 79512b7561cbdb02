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

/// Of the standard normal distribution: the part below x, and exp(-x^2 / 2). The error function is
/// Abramowitz and Stegun's 7.1.26, off by at most 1.5e-7; below 0 nothing cancels.
struct Normal {
  HWY_INLINE explicit Normal(V x) {
    const V z = hn::Mul(hn::Abs(x), hn::Set(f32, 0.70710678f));
    const V t = hn::Div(hn::Set(f32, 1), hn::MulAdd(z, hn::Set(f32, 0.3275911f), hn::Set(f32, 1)));
    V sum = hn::MulAdd(t, hn::Set(f32, 1.061405429f), hn::Set(f32, -1.453152027f));
    sum = hn::MulAdd(t, sum, hn::Set(f32, 1.421413741f));
    sum = hn::MulAdd(t, sum, hn::Set(f32, -0.284496736f));
    sum = hn::MulAdd(t, sum, hn::Set(f32, 0.254829592f));
    bell = hn::Exp(f32, hn::Neg(hn::Mul(z, z)));
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
