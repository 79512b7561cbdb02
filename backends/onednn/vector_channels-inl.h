// vector_channels: loads and stores of up to one vector of channels, for each target.
#if defined(EXPGRAPH_VECTOR_CHANNELS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef EXPGRAPH_VECTOR_CHANNELS_INL_H
#undef EXPGRAPH_VECTOR_CHANNELS_INL_H
#else
#define EXPGRAPH_VECTOR_CHANNELS_INL_H
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <cstring>

#include "backends/onednn/vector.h"

HWY_BEFORE_NAMESPACE();
namespace expgraph::onednn {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
constexpr int64_t kMostLanes = 16;
using F = hn::CappedTag<float, kMostLanes>;
using V = hn::Vec<F>;
using I = hn::RebindToSigned<F>;
constexpr F f32;
constexpr I i32;

/// kVectors vectors of channels from `first` on: whole ones, or one of the last few (`count`).
template <int kVectors, bool kWhole>
struct Channels {
  int64_t first;
  size_t count;

  static HWY_INLINE int64_t lanes() { return static_cast<int64_t>(hn::Lanes(f32)); }
  /// Vector v at a pixel.
  HWY_INLINE V load(const float* from, int v = 0) const {
    from += v * lanes();
    if constexpr (kWhole) return hn::LoadU(f32, from);
#if HWY_MEM_OPS_MIGHT_FAULT
    HWY_ALIGN float values[kMostLanes] = {};
    std::memcpy(values, from, count * sizeof(float));
    return hn::Load(f32, values);
#else
    return hn::MaskedLoad(hn::FirstN(f32, count), f32, from);
#endif
  }
  HWY_INLINE void store(V value, float* to, int v = 0) const {
    to += v * lanes();
    if constexpr (kWhole) return hn::StoreU(value, f32, to);
#if HWY_MEM_OPS_MIGHT_FAULT
    HWY_ALIGN float values[kMostLanes];
    hn::Store(value, f32, values);
    std::memcpy(to, values, count * sizeof(float));
#else
    hn::BlendedStore(value, hn::FirstN(f32, count), f32, to);
#endif
  }
  /// Stores, past the caches where `stream` and `to` is aligned.
  HWY_INLINE void put(V value, float* to, int v, bool stream) const {
    if (kWhole && stream) return hn::Stream(value, f32, to + v * lanes());
    store(value, to, v);
  }
  HWY_INLINE V parameter(const float* per_channel, int v = 0) const {
    return load(per_channel + first, v);
  }

  /// Adds to doubles per channel.
  HWY_INLINE void accumulate(V value, double* per_channel, int v = 0) const {
    double* to = per_channel + first + v * lanes();
#if HWY_TARGET != HWY_SCALAR  // whose vectors have no halves
    if constexpr (kWhole) {
      const hn::Half<F> half;
      const hn::Rebind<double, hn::Half<F>> f64;
      double* high = to + hn::Lanes(f64);
      const auto low_part = hn::PromoteTo(f64, hn::LowerHalf(half, value));
      const auto high_part = hn::PromoteTo(f64, hn::UpperHalf(half, value));
      hn::StoreU(hn::Add(hn::LoadU(f64, to), low_part), f64, to);
      hn::StoreU(hn::Add(hn::LoadU(f64, high), high_part), f64, high);
      return;
    }
#endif
    HWY_ALIGN float values[kMostLanes];
    hn::Store(value, f32, values);
    for (size_t k = 0; k < count; ++k) to[k] += values[k];
  }

  /// Vector v of an index at an element, a pixel's first.
  HWY_INLINE hn::Vec<I> load_index(const PoolIndex& index, int64_t pixel, int v) const {
    const int64_t at = pixel + first + v * lanes();
    HWY_ALIGN int32_t values[kMostLanes] = {};
    if (index.wide) {
      std::memcpy(values, static_cast<const int32_t*>(index.data) + at, count * sizeof(int32_t));
      return hn::Load(i32, values);
    }
    const uint8_t* bytes = static_cast<const uint8_t*>(index.data) + at;
    const hn::Rebind<uint8_t, I> u8;
    if constexpr (kWhole) return hn::PromoteTo(i32, hn::LoadU(u8, bytes));
    for (size_t k = 0; k < count; ++k) values[k] = bytes[k];
    return hn::Load(i32, values);
  }
  HWY_INLINE void store_index(hn::Vec<I> value, const PoolIndex& index, int64_t pixel,
                              int v) const {
    const int64_t at = pixel + first + v * lanes();
    const hn::Rebind<uint8_t, I> u8;
    if (kWhole && !index.wide)
      return hn::StoreU(hn::DemoteTo(u8, value), u8, static_cast<uint8_t*>(index.data) + at);
    HWY_ALIGN int32_t values[kMostLanes];
    hn::Store(value, i32, values);
    if (index.wide)
      std::memcpy(static_cast<int32_t*>(index.data) + at, values, count * sizeof(int32_t));
    else
      for (size_t k = 0; k < count; ++k)
        static_cast<uint8_t*>(index.data)[at + static_cast<int64_t>(k)] =
            static_cast<uint8_t>(values[k]);
  }
};

/// Whether every vector of whole channels of a map that starts there is aligned.
HWY_INLINE bool is_aligned(const float* map, int64_t channels) {
  const auto bytes = hn::Lanes(f32) * sizeof(float);
  return static_cast<size_t>(channels) * sizeof(float) % bytes == 0 &&
         reinterpret_cast<uintptr_t>(map) % bytes == 0;
}

/// body.run(Channels) for the channels from `first` on, one vector at a time.
template <typename Body>
HWY_INLINE void for_channels(int64_t channels, const Body& body, int64_t first = 0) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(f32));
  for (; first + lanes <= channels; first += lanes)
    body.run(Channels<1, true>{first, static_cast<size_t>(lanes)});
  if (first < channels) body.run(Channels<1, false>{first, static_cast<size_t>(channels - first)});
}

/// The same by several vectors at a time as long as there are so many: memory is read in longer
/// runs.
template <typename Body>
HWY_INLINE void for_wide_channels(int64_t channels, const Body& body) {
  constexpr int kVectors = HWY_TARGET <= HWY_AVX3 ? 4 : 2;  // as many as there are registers for
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(f32));
  int64_t first = 0;
  for (; first + kVectors * lanes <= channels; first += kVectors * lanes)
    body.run(Channels<kVectors, true>{first, static_cast<size_t>(lanes)});
  for_channels(channels, body, first);
}

/// An Affine, for some vectors of channels.
template <int kVectors>
struct AffineOf {
  template <typename At>
  HWY_INLINE AffineOf(const At& at, const Affine& affine) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      a[v] = affine.a ? at.parameter(affine.a, v) : hn::Set(f32, 1);
      mean[v] = affine.a ? at.parameter(affine.mean, v) : hn::Zero(f32);
      b[v] = affine.a ? at.parameter(affine.b, v) : hn::Zero(f32);
    }
  }
  HWY_INLINE V operator()(V x, int v) const { return hn::MulAdd(a[v], hn::Sub(x, mean[v]), b[v]); }
  V a[kVectors], mean[kVectors], b[kVectors];
};

/// The larger of v and 0; a NaN stays.
HWY_INLINE V relu_of(V v) { return hn::IfThenElse(hn::Lt(v, hn::Zero(f32)), hn::Zero(f32), v); }

/// A gradient at one pixel.
template <typename At>
HWY_INLINE V gradient_at(const At& at, const float* dy, const float* y, int v = 0) {
  const V g = at.load(dy, v);
  if (y == nullptr) return g;
  return hn::IfThenElseZero(hn::Gt(at.load(y, v), hn::Zero(f32)), g);
}

}  // namespace HWY_NAMESPACE
}  // namespace expgraph::onednn
HWY_AFTER_NAMESPACE();

#endif
