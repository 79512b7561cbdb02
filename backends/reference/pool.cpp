// pool: the meaning of max and average pooling and their gradients.
#include <cmath>
#include <limits>

#include "backends/reference/window.h"

namespace expgraph::reference {

namespace {

/// Windows over the planes of x, each giving one place of y.
struct Windows {
  Windows(const Attributes& attributes, const TensorType& x_type, const TensorType& y_type)
      : x(x_type), y(y_type), window(pool_window(attributes, x.h, x.w)) {
    rows = {x.h, y.h, window.sh, window.ph};
    columns = {x.w, y.w, window.sw, window.pw};
  }

  /// f(place) for every place of y, plane by plane.
  template <typename F>
  void for_each(F f) const {
    int64_t place = 0;
    for (int64_t plane = 0; plane < x.n * x.c; ++plane)
      for (int64_t oh = 0; oh < y.h; ++oh)
        for (int64_t ow = 0; ow < y.w; ++ow)
          f(Place{plane * x.plane(), place++, rows.start(oh), columns.start(ow),
                  rows.inside(oh, window.kh), columns.inside(ow, window.kw)});
  }

  struct Place {
    int64_t x_plane;    ///< where the plane starts in x
    int64_t y;          ///< element of y
    int64_t top, left;  ///< of the window in the plane; negative in the padding
    Range rows, columns;
  };

  Images x, y;
  Window window;
  Axis rows, columns;
};

int64_t index_at(const TensorView& index, int64_t i) {
  return index.type.dtype == DType::u8 ? index.as<uint8_t>()[i] : index.as<int32_t>()[i];
}

void set_index(const TensorView& index, int64_t i, int64_t value) {
  if (index.type.dtype == DType::u8)
    index.as<uint8_t>()[i] = static_cast<uint8_t>(value);
  else
    index.as<int32_t>()[i] = static_cast<int32_t>(value);
}

template <typename T>
void max_pool(const Attributes& attributes, const KernelArgs& args) {
  const Windows windows(attributes, args.inputs[0].type, args.outputs[0].type);
  const T* x = args.inputs[0].as<T>();
  T* y = args.outputs[0].as<T>();
  windows.for_each([&](const Windows::Place& at) {
    T largest = -std::numeric_limits<T>::infinity();
    int64_t index = -1;
    for (int64_t h = at.rows.begin; h < at.rows.end; ++h) {
      for (int64_t w = at.columns.begin; w < at.columns.end; ++w) {
        const T value = x[at.x_plane + h * windows.x.w + w];
        if (index >= 0 && !(value > largest) && !std::isnan(value)) continue;
        largest = value;
        index = (h - at.top) * windows.window.kw + w - at.left;
      }
    }
    if (y) y[at.y] = largest;
    if (args.outputs[1].data) set_index(args.outputs[1], at.y, index);
  });
}

template <typename T>
void max_pool_backward(const Attributes& attributes, const KernelArgs& args) {
  const Windows windows(attributes, args.outputs[0].type, args.inputs[0].type);
  const T* dy = args.inputs[0].as<T>();
  T* dx = args.outputs[0].as<T>();
  std::fill_n(dx, args.outputs[0].type.elements(), T(0));
  windows.for_each([&](const Windows::Place& at) {
    const int64_t index = index_at(args.inputs[1], at.y);
    const int64_t h = at.top + index / windows.window.kw, w = at.left + index % windows.window.kw;
    dx[at.x_plane + h * windows.x.w + w] += dy[at.y];
  });
}

template <typename T>
void average_pool(const Attributes& attributes, const KernelArgs& args) {
  const Windows windows(attributes, args.inputs[0].type, args.outputs[0].type);
  const double count = static_cast<double>(windows.window.places());
  const T* x = args.inputs[0].as<T>();
  T* y = args.outputs[0].as<T>();
  windows.for_each([&](const Windows::Place& at) {
    double sum = 0;
    for (int64_t h = at.rows.begin; h < at.rows.end; ++h)
      for (int64_t w = at.columns.begin; w < at.columns.end; ++w)
        sum += x[at.x_plane + h * windows.x.w + w];
    y[at.y] = static_cast<T>(sum / count);
  });
}

template <typename T>
void average_pool_backward(const Attributes& attributes, const KernelArgs& args) {
  const Windows windows(attributes, args.outputs[0].type, args.inputs[0].type);
  const T count = static_cast<T>(windows.window.places());
  const T* dy = args.inputs[0].as<T>();
  T* dx = args.outputs[0].as<T>();
  std::fill_n(dx, args.outputs[0].type.elements(), T(0));
  windows.for_each([&](const Windows::Place& at) {
    for (int64_t h = at.rows.begin; h < at.rows.end; ++h)
      for (int64_t w = at.columns.begin; w < at.columns.end; ++w)
        dx[at.x_plane + h * windows.x.w + w] += dy[at.y] / count;
  });
}

constexpr KernelEntry kKernels[] = {
    {"max_pool", max_pool<float>, max_pool<double>},
    {"max_pool_backward", max_pool_backward<float>, max_pool_backward<double>},
    {"average_pool", average_pool<float>, average_pool<double>},
    {"average_pool_backward", average_pool_backward<float>, average_pool_backward<double>},
};

}  // namespace

std::span<const KernelEntry> pool_kernels() { return kKernels; }

}  // namespace expgraph::reference
