// vector_channels: loads and stores of up to one vector of channels, for each target.
#if defined(EXPGRAPH_VECTOR_CHANNELS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef EXPGRAPH_VECTOR_CHANNELS_INL_H
#undef EXPGRAPH_VECTOR_CHANNELS_INL_H
#else
#define EXPGRAPH_VECTOR_CHANNELS_INL_H
#endif

#include <hwy/highway.h>

#include <cstring>

#include "backends/onednn/layout.h"
#include "backends/onednn/vector.h"

HWY_BEFORE_NAMESPACE();
namespace expgraph::onednn {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F = hn::CappedTag<float, kBlock>;
using V = hn::Vec<F>;
using I = hn::RebindToSigned<F>;
constexpr F f32;
constexpr I i32;

/// A vector of consecutive channels of a pixel: a whole one, or the last few (`count`).
template <bool kWhole>
struct Channels {
  int64_t first;
  size_t count;

  /// Where channel `first` of the tile's first pixel lies.
  template <typename T>
  HWY_INLINE T* of(const TileOf<T>& tile) const {
    return tile.data + first / kBlock * tile.block + first % kBlock;
  }
  HWY_INLINE V load(const float* from) const {
    if constexpr (kWhole) return hn::LoadU(f32, from);
    HWY_ALIGN float lanes[kBlock] = {};
    std::memcpy(lanes, from, count * sizeof(float));
    return hn::Load(f32, lanes);
  }
  HWY_INLINE void store(V v, float* to) const {
    if constexpr (kWhole) return hn::StoreU(v, f32, to);
    HWY_ALIGN float lanes[kBlock];
    hn::Store(v, f32, lanes);
    std::memcpy(to, lanes, count * sizeof(float));
  }
  HWY_INLINE V parameter(const float* per_channel) const { return load(per_channel + first); }

  /// Adds to doubles per channel.
  HWY_INLINE void accumulate(V v, double* per_channel) const {
    HWY_ALIGN float lanes[kBlock];
    hn::Store(v, f32, lanes);
    for (size_t k = 0; k < count; ++k) per_channel[static_cast<size_t>(first) + k] += lanes[k];
  }

  HWY_INLINE hn::Vec<I> load_index(const IndexTile& tile, int64_t pixel) const {
    const int64_t at = first / kBlock * tile.block + first % kBlock + pixel * tile.pixel;
    HWY_ALIGN int32_t lanes[kBlock] = {};
    if (tile.wide) {
      std::memcpy(lanes, static_cast<const int32_t*>(tile.data) + at, count * sizeof(int32_t));
      return hn::Load(i32, lanes);
    }
    const uint8_t* bytes = static_cast<const uint8_t*>(tile.data) + at;
    const hn::Rebind<uint8_t, I> u8;
    if constexpr (kWhole) return hn::PromoteTo(i32, hn::LoadU(u8, bytes));
    for (size_t k = 0; k < count; ++k) lanes[k] = bytes[k];
    return hn::Load(i32, lanes);
  }
  HWY_INLINE void store_index(hn::Vec<I> v, const IndexTile& tile, int64_t pixel) const {
    const int64_t at = first / kBlock * tile.block + first % kBlock + pixel * tile.pixel;
    const hn::Rebind<uint8_t, I> u8;
    if (kWhole && !tile.wide)
      return hn::StoreU(hn::DemoteTo(u8, v), u8, static_cast<uint8_t*>(tile.data) + at);
    HWY_ALIGN int32_t lanes[kBlock];
    hn::Store(v, i32, lanes);
    for (size_t k = 0; k < count; ++k) {
      if (tile.wide)
        static_cast<int32_t*>(tile.data)[at + static_cast<int64_t>(k)] = lanes[k];
      else
        static_cast<uint8_t*>(tile.data)[at + static_cast<int64_t>(k)] =
            static_cast<uint8_t>(lanes[k]);
    }
  }
};

/// body.run(Channels) for every vector of channels. A vector never crosses a block of 16.
template <typename Body>
HWY_INLINE void for_channels(int64_t channels, const Body& body) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(f32));
  int64_t first = 0;
  for (; first + lanes <= channels; first += lanes)
    body.run(Channels<true>{first, static_cast<size_t>(lanes)});
  if (first < channels) body.run(Channels<false>{first, static_cast<size_t>(channels - first)});
}

/// An Affine, for one vector of channels.
template <bool kWhole>
struct AffineOf {
  HWY_INLINE AffineOf(const Channels<kWhole>& at, const Affine& affine)
      : a(affine.a ? at.parameter(affine.a) : hn::Set(f32, 1)),
        mean(affine.a ? at.parameter(affine.mean) : hn::Zero(f32)),
        b(affine.a ? at.parameter(affine.b) : hn::Zero(f32)) {}
  HWY_INLINE V operator()(V x) const { return hn::MulAdd(a, hn::Sub(x, mean), b); }
  V a, mean, b;
};

/// The larger of v and 0; a NaN stays.
HWY_INLINE V relu_of(V v) { return hn::IfThenElse(hn::Lt(v, hn::Zero(f32)), hn::Zero(f32), v); }

/// A gradient at one pixel.
template <bool kWhole>
HWY_INLINE V gradient_at(const Channels<kWhole>& at, const float* dy, const float* y) {
  const V g = at.load(dy);
  if (y == nullptr) return g;
  return hn::IfThenElseZero(hn::Gt(at.load(y), hn::Zero(f32)), g);
}

}  // namespace HWY_NAMESPACE
}  // namespace expgraph::onednn
HWY_AFTER_NAMESPACE();

#endif
