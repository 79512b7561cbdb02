// vector_pool: max pooling of a row of windows, alone or after a normalisation, and the gradients
// of both.
#include "backends/onednn/vector_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/onednn/vector_pool.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "backends/onednn/vector_channels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace expgraph::onednn {
namespace HWY_NAMESPACE {

constexpr int64_t kRun = 64;  // outputs whose sum is a float

/// Rows and columns of a window, known at compile time where not 0.
template <int64_t kRows, int64_t kColumns>
struct Extent {
  HWY_INLINE Extent(const Windows& w, int64_t channels)
      : rows(kRows ? kRows : w.rows),
        columns(kColumns ? kColumns : w.columns),
        below(rows * w.width * channels) {}
  const int64_t rows, columns;
  const int64_t below;  ///< elements from a pixel to the same of the next row of windows
};

/// Asks for vector v of the same pixel in the next row of windows: without, passes over maps that
/// are not in the caches take a tenth longer.
template <typename At, typename Extent>
HWY_INLINE void fetch_below(const At& at, const Extent& extent, const float* pixel, int v) {
  hwy::Prefetch(pixel + extent.below + v * at.lanes());
}

template <int64_t kRows, int64_t kColumns, bool kAffine>
struct MaxWindows {
  const float* x;
  const Windows& windows;
  int64_t channels;
  float* y;
  PoolIndex index;
  const Affine& affine;
  bool stream;

  template <int kVectors, bool kWhole>
  HWY_INLINE void run(const Channels<kVectors, kWhole>& at) const {
    const AffineOf<kVectors> of(at, affine);
    const bool relu = affine.activation.kind == Activation::Kind::relu;
    const Extent<kRows, kColumns> extent(windows, channels);
    for (int64_t o = 0; o < windows.outputs; ++o) {
      const float* corner = x + at.first + o * windows.stride * channels;
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const auto value_at = [&](int64_t place) HWY_ATTR {
          const V value = at.load(corner + place, v);
          return kAffine ? of(value, v) : value;
        };
        if constexpr (kRows > 0)
          for (int64_t r = 0; r < kRows; ++r)
            for (int64_t c = 0; c < kColumns; ++c)
              fetch_below(at, extent, corner + (r * windows.width + c) * channels, v);
        V largest = value_at(0);
        hn::Vec<I> place = hn::Set(i32, static_cast<int32_t>(windows.first_index));
        for (int64_t r = 0; r < extent.rows; ++r) {
          for (int64_t c = r == 0 ? 1 : 0; c < extent.columns; ++c) {
            const V value = value_at((r * windows.width + c) * channels);
            const auto larger = hn::Or(hn::Gt(value, largest), hn::IsNaN(value));
            const int64_t here = windows.first_index + r * windows.index_width + c;
            largest = hn::IfThenElse(larger, value, largest);
            place = hn::IfThenElse(hn::RebindMask(i32, larger),
                                   hn::Set(i32, static_cast<int32_t>(here)), place);
          }
        }
        if (y) at.put(relu ? relu_of(largest) : largest, y + at.first + o * channels, v, stream);
        if (index.data) at.store_index(place, index, o * channels, v);
      }
    }
  }
};

template <bool kAffine>
HWY_INLINE void max_windows_of(const float* x, const Windows& windows, float* y, PoolIndex index,
                               int64_t channels, const Affine& affine, bool stream) {
  if (windows.rows == 2 && windows.columns == 2)
    for_wide_channels(channels,
                      MaxWindows<2, 2, kAffine>{x, windows, channels, y, index, affine, stream});
  else
    for_wide_channels(channels,
                      MaxWindows<0, 0, kAffine>{x, windows, channels, y, index, affine, stream});
}

void MaxWindowsOf(const float* x, const Windows& windows, float* y, PoolIndex index,
                  int64_t channels, const Affine& affine, bool stream) {
  const bool streams = stream && is_aligned(y, channels);
  if (affine.a)
    max_windows_of<true>(x, windows, y, index, channels, affine, streams);
  else
    max_windows_of<false>(x, windows, y, index, channels, affine, streams);
  if (streams) hwy::FlushStream();
}

/// The gradient of a window's largest pixel, at every pixel of the window.
template <int64_t kRows, int64_t kColumns, bool kAdd>
struct WindowGradients {
  const float* dy;
  PoolIndex index;
  float* dx;
  const Windows& windows;
  int64_t channels;
  bool stream;

  template <int kVectors, bool kWhole>
  HWY_INLINE void run(const Channels<kVectors, kWhole>& at) const {
    const Extent<kRows, kColumns> extent(windows, channels);
    for (int64_t o = 0; o < windows.outputs; ++o) {
      float* corner = dx + at.first + o * windows.stride * channels;
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const V d = at.load(dy + at.first + o * channels, v);
        const hn::Vec<I> place = at.load_index(index, o * channels, v);
        for (int64_t r = 0; r < extent.rows; ++r) {
          for (int64_t c = 0; c < extent.columns; ++c) {
            float* pixel = corner + (r * windows.width + c) * channels;
            const int64_t here = windows.first_index + r * windows.index_width + c;
            const auto is = hn::Eq(place, hn::Set(i32, static_cast<int32_t>(here)));
            const V mine = hn::IfThenElseZero(hn::RebindMask(f32, is), d);
            // 0 + -0 is 0, as when it is added to a map of zeros.
            const V sum = hn::Add(kAdd ? at.load(pixel, v) : hn::Zero(f32), mine);
            at.put(sum, pixel, v, stream);
          }
        }
      }
    }
  }
};

template <bool kAdd>
HWY_INLINE void window_gradients(const float* dy, PoolIndex index, float* dx,
                                 const Windows& windows, int64_t channels, bool stream) {
  if (windows.rows == 2 && windows.columns == 2)
    for_wide_channels(channels,
                      WindowGradients<2, 2, kAdd>{dy, index, dx, windows, channels, stream});
  else
    for_wide_channels(channels,
                      WindowGradients<0, 0, kAdd>{dy, index, dx, windows, channels, stream});
}

void SetWindowGradientsOf(const float* dy, PoolIndex index, float* dx, const Windows& windows,
                          int64_t channels, bool stream) {
  const bool streams = stream && is_aligned(dx, channels);
  window_gradients<false>(dy, index, dx, windows, channels, streams);
  if (streams) hwy::FlushStream();
}

void AddWindowGradientsTo(const float* dy, PoolIndex index, float* dx, const Windows& windows,
                          int64_t channels) {
  window_gradients<true>(dy, index, dx, windows, channels, false);
}

/// The sums of the outputs of windows whose maxima are known, for some vectors of channels.
template <int kVectors>
struct MaximaOf {
  template <typename At>
  HWY_INLINE MaximaOf(const At& here, const Maxima& maxima) : known(maxima.slope != nullptr) {
    if (!known) return;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      at[v] = here.parameter(maxima.at, v);
      centred[v] = here.parameter(maxima.centred, v);
      slope[v] = here.parameter(maxima.slope, v);
      const auto there = hn::FirstN(f32, here.count);
      known &= hn::AllFalse(f32, hn::And(there, hn::Eq(slope[v], hn::Zero(f32))));
    }
  }
  HWY_INLINE V operator()(V y, int v) const {
    return hn::MulAdd(hn::Sub(y, at[v]), slope[v], centred[v]);
  }
  bool known;  ///< of all channels
  V at[kVectors], centred[kVectors], slope[kVectors];
};

template <int64_t kRows, int64_t kColumns>
struct AddWindowGradientSums {
  const Gradient& g;
  PoolIndex index;
  const float* x;
  const Windows& windows;
  int64_t channels;
  const float* mean;
  const Maxima& maxima;
  double* sum;
  double* product;

  template <int kVectors, bool kWhole>
  HWY_INLINE void run(const Channels<kVectors, kWhole>& at) const {
    const float* dy = g.dy + at.first;
    const float* y = g.y ? g.y + at.first : nullptr;
    const MaximaOf<kVectors> of(at, maxima);
    if (of.known)
      return add(at, [&](int64_t o, int v, V& d) HWY_ATTR {
        const V largest = at.load(y + o * channels, v);
        d = hn::IfThenElseZero(hn::Gt(largest, hn::Zero(f32)), at.load(dy + o * channels, v));
        return of(largest, v);
      });
    V m[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) m[v] = at.parameter(mean, v);
    const Extent<kRows, kColumns> extent(windows, channels);
    add(at, [&](int64_t o, int v, V& d) HWY_ATTR {
      d = gradient_at(at, dy + o * channels, y ? y + o * channels : nullptr, v);
      const float* corner = x + at.first + o * windows.stride * channels;
      const hn::Vec<I> place = at.load_index(index, o * channels, v);
      V taken = at.load(corner, v);
      for (int64_t r = 0; r < extent.rows; ++r) {
        for (int64_t c = r == 0 ? 1 : 0; c < extent.columns; ++c) {
          const int64_t here = r * windows.index_width + c;
          const auto is = hn::Eq(place, hn::Set(i32, static_cast<int32_t>(here)));
          taken = hn::IfThenElse(hn::RebindMask(f32, is),
                                 at.load(corner + (r * windows.width + c) * channels, v), taken);
        }
      }
      return hn::Sub(taken, m[v]);
    });
  }

  /// centred(output, v, d) gives x - mean at an output's pixel, and what g is there as d.
  template <int kVectors, bool kWhole, typename Centred>
  HWY_INLINE void add(const Channels<kVectors, kWhole>& at, const Centred& centred) const {
    for (int64_t begin = 0; begin < windows.outputs; begin += kRun) {
      const int64_t end = HWY_MIN(begin + kRun, windows.outputs);
      V s[kVectors], q[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) s[v] = q[v] = hn::Zero(f32);
      for (int64_t o = begin; o < end; ++o) {
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          V d;
          const V there = centred(o, v, d);
          s[v] = hn::Add(s[v], d);
          q[v] = hn::MulAdd(d, there, q[v]);
        }
      }
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        at.accumulate(s[v], sum, v);
        at.accumulate(q[v], product, v);
      }
    }
  }
};

void AddWindowGradientSumsTo(const Gradient& g, PoolIndex index, const float* x,
                             const Windows& windows, int64_t channels, const float* mean,
                             const Maxima& maxima, double* sum, double* product) {
  if (windows.rows == 2 && windows.columns == 2)
    for_wide_channels(channels, AddWindowGradientSums<2, 2>{g, index, x, windows, channels, mean,
                                                            maxima, sum, product});
  else
    for_wide_channels(channels, AddWindowGradientSums<0, 0>{g, index, x, windows, channels, mean,
                                                            maxima, sum, product});
}

template <int64_t kRows, int64_t kColumns>
struct ApplyWindowGradients {
  const Gradient& g;
  PoolIndex index;
  const float* x;
  float* dx;
  const Windows& windows;
  int64_t channels;
  const NormGradient& norm;
  bool stream;

  template <int kVectors, bool kWhole>
  HWY_INLINE void run(const Channels<kVectors, kWhole>& at) const {
    V a[kVectors], m[kVectors], b[kVectors], c0[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      a[v] = at.parameter(norm.a, v);
      m[v] = at.parameter(norm.mean, v);
      b[v] = at.parameter(norm.b, v);
      c0[v] = at.parameter(norm.c, v);
    }
    const Extent<kRows, kColumns> extent(windows, channels);
    const float* dy = g.dy + at.first;
    const float* y = g.y ? g.y + at.first : nullptr;
    for (int64_t o = 0; o < windows.outputs; ++o) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const V d = gradient_at(at, dy + o * channels, y ? y + o * channels : nullptr, v);
        const hn::Vec<I> place = at.load_index(index, o * channels, v);
        for (int64_t r = 0; r < extent.rows; ++r) {
          for (int64_t c = 0; c < extent.columns; ++c) {
            const int64_t pixel = o * windows.stride + r * windows.width + c;
            const int64_t here = r * windows.index_width + c;
            const auto is = hn::Eq(place, hn::Set(i32, static_cast<int32_t>(here)));
            const V mine = hn::IfThenElseZero(hn::RebindMask(f32, is), d);
            const float* from = x + at.first + pixel * channels;
            if constexpr (kRows > 0) fetch_below(at, extent, from, v);
            const V centred = hn::Sub(at.load(from, v), m[v]);
            const V value = hn::MulAdd(a[v], mine, hn::MulAdd(b[v], centred, c0[v]));
            at.put(value, dx + at.first + pixel * channels, v, stream);
          }
        }
      }
    }
  }
};

void ApplyWindowGradient(const Gradient& g, PoolIndex index, const float* x, float* dx,
                         const Windows& windows, int64_t channels, const NormGradient& norm,
                         bool stream) {
  const bool streams = stream && is_aligned(dx, channels);
  if (windows.rows == 2 && windows.columns == 2)
    for_wide_channels(
        channels, ApplyWindowGradients<2, 2>{g, index, x, dx, windows, channels, norm, streams});
  else
    for_wide_channels(
        channels, ApplyWindowGradients<0, 0>{g, index, x, dx, windows, channels, norm, streams});
  if (streams) hwy::FlushStream();
}

}  // namespace HWY_NAMESPACE
}  // namespace expgraph::onednn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace expgraph::onednn {

HWY_EXPORT(MaxWindowsOf);
HWY_EXPORT(SetWindowGradientsOf);
HWY_EXPORT(AddWindowGradientsTo);
HWY_EXPORT(AddWindowGradientSumsTo);
HWY_EXPORT(ApplyWindowGradient);

void max_windows(const float* x, const Windows& windows, float* y, PoolIndex index,
                 int64_t channels, const Affine& affine, bool stream) {
  HWY_DYNAMIC_DISPATCH(MaxWindowsOf)(x, windows, y, index, channels, affine, stream);
}

void set_window_gradients(const float* dy, PoolIndex index, float* dx, const Windows& windows,
                          int64_t channels, bool stream) {
  HWY_DYNAMIC_DISPATCH(SetWindowGradientsOf)(dy, index, dx, windows, channels, stream);
}

void add_window_gradients(const float* dy, PoolIndex index, float* dx, const Windows& windows,
                          int64_t channels) {
  HWY_DYNAMIC_DISPATCH(AddWindowGradientsTo)(dy, index, dx, windows, channels);
}

void add_window_gradient_sums(const Gradient& g, PoolIndex index, const float* x,
                              const Windows& windows, int64_t channels, const float* mean,
                              const Maxima& maxima, double* sum, double* product) {
  HWY_DYNAMIC_DISPATCH(AddWindowGradientSumsTo)
  (g, index, x, windows, channels, mean, maxima, sum, product);
}

void apply_window_gradient(const Gradient& g, PoolIndex index, const float* x, float* dx,
                           const Windows& windows, int64_t channels, const NormGradient& norm,
                           bool stream) {
  HWY_DYNAMIC_DISPATCH(ApplyWindowGradient)(g, index, x, dx, windows, channels, norm, stream);
}

}  // namespace expgraph::onednn
#endif
