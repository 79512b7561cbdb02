// conv: the meaning of conv2d and its gradients. Sums are taken in double, over one plane at a
// time, so that the innermost loop runs along rows.
#include <vector>

#include "backends/reference/window.h"

namespace expgraph::reference {

namespace {

/// x[n,in,h,w] convolved with w[out,in,kernel_h,kernel_w] is y[n,out,..].
struct Geometry {
  Geometry(const Attributes& attributes, const TensorType& x_type, const TensorType& w_type,
           const TensorType& y_type)
      : x(x_type), w(w_type), y(y_type) {
    const Window window = conv_window(attributes, w_type.shape);
    rows = {x.h, y.h, window.sh, window.ph};
    columns = {x.w, y.w, window.sw, window.pw};
  }

  /// f(place in y's plane, place in x's plane) where kernel place (kh, kw) meets x.
  template <typename F>
  void for_each(int64_t kh, int64_t kw, F f) const {
    const Range oh = rows.outputs(kh), ow = columns.outputs(kw);
    for (int64_t o = oh.begin; o < oh.end; ++o) {
      const int64_t y_row = o * y.w, x_row = (rows.start(o) + kh) * x.w;
      for (int64_t p = ow.begin; p < ow.end; ++p) f(y_row + p, x_row + columns.start(p) + kw);
    }
  }

  Images x, w, y;  // w: n = out channels, c = in channels
  Axis rows, columns;
};

template <typename T>
void store(const std::vector<double>& sums, T* to) {
  std::transform(sums.begin(), sums.end(), to, [](double sum) { return static_cast<T>(sum); });
}

template <typename T>
void conv2d(const Attributes& attributes, const KernelArgs& args) {
  const Geometry g(attributes, args.inputs[0].type, args.inputs[1].type, args.outputs[0].type);
  const T* w = args.inputs[1].as<T>();
  const T* b = args.inputs.size() > 2 ? args.inputs[2].as<T>() : nullptr;
  T* y = args.outputs[0].as<T>();
  std::vector<double> sums(static_cast<size_t>(g.y.plane()));
  for (int64_t n = 0; n < g.y.n; ++n) {
    for (int64_t out = 0; out < g.y.c; ++out) {
      std::fill(sums.begin(), sums.end(), b ? b[out] : 0);
      for (int64_t in = 0; in < g.x.c; ++in) {
        const T* x = args.inputs[0].as<T>() + (n * g.x.c + in) * g.x.plane();
        for (int64_t kh = 0; kh < g.w.h; ++kh) {
          for (int64_t kw = 0; kw < g.w.w; ++kw) {
            const double weight = w[((out * g.w.c + in) * g.w.h + kh) * g.w.w + kw];
            g.for_each(kh, kw,
                       [&, to = sums.data()](int64_t i, int64_t j) { to[i] += weight * x[j]; });
          }
        }
      }
      store(sums, y + (n * g.y.c + out) * g.y.plane());
    }
  }
}

template <typename T>
void conv2d_backward_data(const Attributes& attributes, const KernelArgs& args) {
  const Geometry g(attributes, args.outputs[0].type, args.inputs[1].type, args.inputs[0].type);
  const T* w = args.inputs[1].as<T>();
  T* dx = args.outputs[0].as<T>();
  std::vector<double> sums(static_cast<size_t>(g.x.plane()));
  for (int64_t n = 0; n < g.x.n; ++n) {
    for (int64_t in = 0; in < g.x.c; ++in) {
      std::fill(sums.begin(), sums.end(), 0);
      for (int64_t out = 0; out < g.y.c; ++out) {
        const T* dy = args.inputs[0].as<T>() + (n * g.y.c + out) * g.y.plane();
        for (int64_t kh = 0; kh < g.w.h; ++kh) {
          for (int64_t kw = 0; kw < g.w.w; ++kw) {
            const double weight = w[((out * g.w.c + in) * g.w.h + kh) * g.w.w + kw];
            g.for_each(kh, kw,
                       [&, to = sums.data()](int64_t i, int64_t j) { to[j] += weight * dy[i]; });
          }
        }
      }
      store(sums, dx + (n * g.x.c + in) * g.x.plane());
    }
  }
}

template <typename T>
void conv2d_backward_weights(const Attributes& attributes, const KernelArgs& args) {
  const Geometry g(attributes, args.inputs[1].type, args.outputs[0].type, args.inputs[0].type);
  T* dw = args.outputs[0].as<T>();
  for (int64_t out = 0; out < g.w.n; ++out) {
    for (int64_t in = 0; in < g.w.c; ++in) {
      for (int64_t kh = 0; kh < g.w.h; ++kh) {
        for (int64_t kw = 0; kw < g.w.w; ++kw) {
          double sum = 0;
          for (int64_t n = 0; n < g.x.n; ++n) {
            const T* dy = args.inputs[0].as<T>() + (n * g.y.c + out) * g.y.plane();
            const T* x = args.inputs[1].as<T>() + (n * g.x.c + in) * g.x.plane();
            g.for_each(kh, kw, [&](int64_t i, int64_t j) { sum += double(dy[i]) * x[j]; });
          }
          dw[((out * g.w.c + in) * g.w.h + kh) * g.w.w + kw] = static_cast<T>(sum);
        }
      }
    }
  }
}

constexpr KernelEntry kKernels[] = {
    {"conv2d", conv2d<float>, conv2d<double>},
    {"conv2d_backward_data", conv2d_backward_data<float>, conv2d_backward_data<double>},
    {"conv2d_backward_weights", conv2d_backward_weights<float>, conv2d_backward_weights<double>},
};

}  // namespace

std::span<const KernelEntry> conv_kernels() { return kKernels; }

}  // namespace expgraph::reference
