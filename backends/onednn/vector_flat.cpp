// vector_flat: elementwise loops over flat memory.
#include "backends/onednn/vector_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/onednn/vector_flat.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "backends/onednn/vector_activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace expgraph::onednn {
namespace HWY_NAMESPACE {

template <Activation::Kind kKind>
struct Activate {
  const float* x;
  float* y;
  const Activation& activation;
  bool stream;
  template <int kVectors, bool kWhole>
  HWY_INLINE void run(const Channels<kVectors, kWhole>& at) const {
    const V value = activated(KindOf<kKind>(), at.load(x + at.first), activation);
    at.put(value, y + at.first, 0, stream);
  }
};

/// Whether to write past the caches what a thread makes of a map: see kStreamBytes.
HWY_INLINE bool streams_to(const float* to, int64_t count) {
  return count * int64_t{sizeof(float)} > kStreamBytes && is_aligned(to, kMostLanes);
}

void ActivateOf(const float* x, float* y, int64_t count, const Activation& activation) {
  const bool stream = streams_to(y, count);
  with_kind(activation.kind, [&](auto kind) HWY_ATTR {
    for_channels(count, Activate<kind()>{x, y, activation, stream});
  });
  if (stream) hwy::FlushStream();
}

template <Activation::Kind kKind>
struct ActivateBackward {
  const float* dy;
  const float* of;
  float* dx;
  const Activation& activation;
  template <int kVectors, bool kWhole>
  HWY_INLINE void run(const Channels<kVectors, kWhole>& at) const {
    const V gradient = at.load(dy + at.first), value = at.load(of + at.first);
    at.store(sloped(KindOf<kKind>(), gradient, value, activation), dx + at.first);
  }
};

void ActivateBackwardOf(const float* dy, const float* of, float* dx, int64_t count,
                        const Activation& activation) {
  with_kind(activation.kind, [&](auto kind) HWY_ATTR {
    for_channels(count, ActivateBackward<kind()>{dy, of, dx, activation});
  });
}

struct AddTwo {
  const float* x1;
  const float* x2;
  float* y;
  template <int kVectors, bool kWhole>
  HWY_INLINE void run(const Channels<kVectors, kWhole>& at) const {
    at.store(hn::Add(at.load(x1 + at.first), at.load(x2 + at.first)), y + at.first);
  }
};

void AddOf(const float* x1, const float* x2, float* y, int64_t count) {
  for_channels(count, AddTwo{x1, x2, y});
}

struct Scale {
  const float* x;
  V factor;
  float* y;
  template <int kVectors, bool kWhole>
  HWY_INLINE void run(const Channels<kVectors, kWhole>& at) const {
    at.store(hn::Mul(at.load(x + at.first), factor), y + at.first);
  }
};

void ScaleOf(const float* x, float factor, float* y, int64_t count) {
  for_channels(count, Scale{x, hn::Set(f32, factor), y});
}

struct SgdUpdate {
  const float* parameter;
  const float* gradient;
  const float* momentum;
  float* new_parameter;
  float* new_momentum;
  V lr, mu, decay;
  bool nesterov;

  template <int kVectors, bool kWhole>
  HWY_INLINE void run(const Channels<kVectors, kWhole>& at) const {
    const V p = at.load(parameter + at.first);
    const V g = hn::MulAdd(decay, p, at.load(gradient + at.first));
    V step = g;
    if (momentum) {
      const V m = hn::MulAdd(mu, at.load(momentum + at.first), g);
      if (new_momentum) at.store(m, new_momentum + at.first);
      step = nesterov ? hn::MulAdd(mu, m, g) : m;
    }
    at.store(hn::NegMulAdd(lr, step, p), new_parameter + at.first);
  }
};

void SgdUpdateOf(const float* parameter, const float* gradient, const float* momentum,
                 float* new_parameter, float* new_momentum, int64_t count, const SgdStep& step) {
  for_channels(count, SgdUpdate{parameter, gradient, momentum, new_parameter, new_momentum,
                                hn::Set(f32, step.lr), hn::Set(f32, step.momentum),
                                hn::Set(f32, step.weight_decay), step.nesterov});
}

}  // namespace HWY_NAMESPACE
}  // namespace expgraph::onednn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace expgraph::onednn {

HWY_EXPORT(ActivateOf);
HWY_EXPORT(ActivateBackwardOf);
HWY_EXPORT(AddOf);
HWY_EXPORT(ScaleOf);
HWY_EXPORT(SgdUpdateOf);

void activate(const float* x, float* y, int64_t count, const Activation& activation) {
  HWY_DYNAMIC_DISPATCH(ActivateOf)(x, y, count, activation);
}

void activate_backward(const float* dy, const float* of, float* dx, int64_t count,
                       const Activation& activation) {
  HWY_DYNAMIC_DISPATCH(ActivateBackwardOf)(dy, of, dx, count, activation);
}

void add(const float* x1, const float* x2, float* y, int64_t count) {
  HWY_DYNAMIC_DISPATCH(AddOf)(x1, x2, y, count);
}

void scale(const float* x, float factor, float* y, int64_t count) {
  HWY_DYNAMIC_DISPATCH(ScaleOf)(x, factor, y, count);
}

void sgd_update(const float* parameter, const float* gradient, const float* momentum,
                float* new_parameter, float* new_momentum, int64_t count, const SgdStep& step) {
  HWY_DYNAMIC_DISPATCH(SgdUpdateOf)
  (parameter, gradient, momentum, new_parameter, new_momentum, count, step);
}

}  // namespace expgraph::onednn
#endif
