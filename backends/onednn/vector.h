// vector: the loops along channels, for the instruction set of this machine (Highway, dispatched
// at run time). Serial; one call does a tile: some pixels of maps with their channels last.
#pragma once

#include <cstdint>

namespace expgraph::onednn {

/// A map that is larger has left the caches before anybody reads it: with `stream` the
/// kernels below write past them where the map is aligned.
constexpr int64_t kStreamBytes = int64_t{32} << 20;

/// What is done to a value after all else: core/ops/elementwise.cpp says what each is.
struct Activation {
  enum class Kind : uint8_t { none, relu, celu, gelu };
  Kind kind = Kind::none;
  float alpha = 1;  ///< of celu
};

/// y = a * (x - mean) + b per channel, then the activation. Null: y = x. Pooling knows relu alone.
struct Affine {
  const float* a = nullptr;
  const float* mean = nullptr;
  const float* b = nullptr;
  Activation activation;
};

/// sum[c] += x - shift[c] and squares[c] += (x - shift[c])^2 over the pixels; without squares, only
/// sums. Floats are added over at most 64 pixels, then doubles.
void add_statistics(const float* x, int64_t pixels, int64_t channels, const float* shift,
                    double* sum, double* squares);

/// y = affine(x), or affine(x) + plus.
void apply_affine(const float* x, const float* plus, float* y, int64_t pixels, int64_t channels,
                  const Affine& affine, bool stream);

/// Gradient that reaches a normalisation: dy, times the activation's slope. Of relu and celu that
/// follows from their output y; of gelu, and of relu without y, from the input, which is
/// a * (x - mean) + b again, or x where a, mean and b are null. Pooling knows relu alone, with y.
struct Gradient {
  const float* dy = nullptr;
  const float* y = nullptr;
  Activation activation;
  const float* a = nullptr;
  const float* b = nullptr;
};

/// sum[c] += g and product[c] += g * (x - mean[c]); without product, only sums.
void add_gradient_sums(const Gradient& g, const float* x, int64_t pixels, int64_t channels,
                       const float* mean, double* sum, double* product);

/// dx = a * g + b * (x - mean) + c, per channel.
struct NormGradient {
  const float* a;
  const float* mean;
  const float* b;
  const float* c;
};
void apply_gradient(const Gradient& g, const float* x, float* dx, int64_t pixels, int64_t channels,
                    const NormGradient& norm, bool stream);

/// Places of windows: u8 or, where `wide`, i32.
struct PoolIndex {
  void* data = nullptr;
  bool wide = false;
};

/// `outputs` windows of `rows` x `columns` pixels in an image `width` pixels wide, `stride` pixels
/// apart in a row. Place (r, c) of a window has index first_index + r * index_width + c.
struct Windows {
  int64_t outputs, rows, columns, stride, width;
  int64_t first_index, index_width;
};

/// The largest of each window and where the first largest is; y and index may be null.
void max_windows(const float* x, const Windows& windows, float* y, PoolIndex index,
                 int64_t channels, const Affine& affine, bool stream);

/// What x is at the largest pixels of windows, where y = relu(a * (x - mean) + b) of it is above
/// 0: x - mean = centred + (y - at) * slope. A channel of slope 0 is not known so.
struct Maxima {
  const float* at = nullptr;
  const float* centred = nullptr;
  const float* slope = nullptr;  ///< null: no channel is
};

/// As add_gradient_sums, where g of an output belongs to the pixel of its window that index names.
/// Reads x and index where `maxima` does not tell what x is.
void add_window_gradient_sums(const Gradient& g, PoolIndex index, const float* x,
                              const Windows& windows, int64_t channels, const float* mean,
                              const Maxima& maxima, double* sum, double* product);

/// As apply_gradient, likewise.
void apply_window_gradient(const Gradient& g, PoolIndex index, const float* x, float* dx,
                           const Windows& windows, int64_t channels, const NormGradient& norm,
                           bool stream);

/// Every pixel of a window: dx = dy where index names it, else 0. Windows may not share pixels.
void set_window_gradients(const float* dy, PoolIndex index, float* dx, const Windows& windows,
                          int64_t channels, bool stream);

/// The pixel of a window that index names: dx += dy; windows may share pixels.
void add_window_gradients(const float* dy, PoolIndex index, float* dx, const Windows& windows,
                          int64_t channels);

// Over flat memory.
void activate(const float* x, float* y, int64_t count, const Activation& activation);
/// `of`: the activation's output; of gelu its input.
void activate_backward(const float* dy, const float* of, float* dx, int64_t count,
                       const Activation& activation);
void add(const float* x1, const float* x2, float* y, int64_t count);
void scale(const float* x, float factor, float* y, int64_t count);

struct SgdStep {
  float lr, momentum, weight_decay;
  bool nesterov;
};
/// `momentum` and `new_momentum` may be null.
void sgd_update(const float* parameter, const float* gradient, const float* momentum,
                float* new_parameter, float* new_momentum, int64_t count, const SgdStep& step);

/// "AVX3" and the like: what the loops above run on.
const char* vector_target();

}  // namespace expgraph::onednn
