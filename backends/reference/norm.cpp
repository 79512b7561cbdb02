// norm: the meaning of batch normalisation (Ioffe and Szegedy, 2015) and its gradient. Statistics
// are taken in double, in two passes, and used as they are handed out, so that batch_norm_apply
// gives the same bits.
#include <cmath>

#include "backends/reference/kernels.h"

namespace expgraph::reference {

namespace {

/// f(element) for every element of channel c in the samples of a part.
template <typename F>
void for_each(const Channels& sizes, int64_t c, int64_t part, int64_t splits, F f) {
  const int64_t samples = sizes.n / splits;
  for (int64_t n = part * samples; n < (part + 1) * samples; ++n) {
    const int64_t row = (n * sizes.c + c) * sizes.inner;
    for (int64_t i = row; i < row + sizes.inner; ++i) f(i);
  }
}

/// to[c] = value, where somebody reads it.
template <typename T>
void put(const TensorView& to, int64_t c, double value) {
  if (to.data) to.as<T>()[c] = static_cast<T>(value);
}

/// from[c], `absent` where there is none.
template <typename T>
double get(const TensorView& from, int64_t c, double absent) {
  return from.data ? from.as<T>()[c] : absent;
}

template <typename T>
void batch_norm(const Attributes& attributes, const KernelArgs& args) {
  const Channels sizes(args.inputs[0].type);
  const double epsilon = attributes.real("epsilon"), momentum = attributes.real("momentum");
  const int64_t splits = attributes.integer("splits");
  const double parts = static_cast<double>(splits);
  const double count = static_cast<double>(sizes.n / splits * sizes.inner);
  const T* x = args.inputs[0].as<T>();
  for (int64_t c = 0; c < sizes.c; ++c) {
    const double scale = get<T>(args.inputs[1], c, 1), bias = get<T>(args.inputs[2], c, 0);
    double means = 0, variances = 0;  // over the parts
    for (int64_t part = 0; part < splits; ++part) {
      double sum = 0, squares = 0;
      for_each(sizes, c, part, splits, [&](int64_t i) { sum += x[i]; });
      const double mean = sum / count;
      for_each(sizes, c, part, splits,
               [&](int64_t i) { squares += (x[i] - mean) * (x[i] - mean); });
      const T centre = static_cast<T>(mean);
      const T inverse_std = static_cast<T>(1 / std::sqrt(squares / count + epsilon));

      if (T* y = args.outputs[0].as<T>())
        for_each(sizes, c, part, splits, [&](int64_t i) {
          y[i] = static_cast<T>(scale * (x[i] - double(centre)) * inverse_std + bias);
        });
      put<T>(args.outputs[1], part * sizes.c + c, centre);
      put<T>(args.outputs[2], part * sizes.c + c, inverse_std);
      means += mean / parts;
      variances += squares / std::max(count - 1, 1.0) / parts;
    }
    const double running_mean = args.inputs[3].as<T>()[c], running_var = args.inputs[4].as<T>()[c];
    put<T>(args.outputs[3], c, (1 - momentum) * running_mean + momentum * means);
    put<T>(args.outputs[4], c, (1 - momentum) * running_var + momentum * variances);
  }
}

template <typename T>
void batch_norm_inference(const Attributes& attributes, const KernelArgs& args) {
  const Channels sizes(args.inputs[0].type);
  const double epsilon = attributes.real("epsilon");
  const T* x = args.inputs[0].as<T>();
  T* y = args.outputs[0].as<T>();
  for (int64_t c = 0; c < sizes.c; ++c) {
    const double scale = get<T>(args.inputs[1], c, 1), bias = get<T>(args.inputs[2], c, 0);
    const double mean = args.inputs[3].as<T>()[c], var = args.inputs[4].as<T>()[c];
    const double inverse_std = 1 / std::sqrt(var + epsilon);
    for_each(sizes, c, 0, 1,
             [&](int64_t i) { y[i] = static_cast<T>(scale * (x[i] - mean) * inverse_std + bias); });
  }
}

template <typename T>
void batch_norm_apply(const Attributes&, const KernelArgs& args) {
  const Channels sizes(args.inputs[0].type);
  const int64_t splits = dim(args.inputs[3], 0) / sizes.c;
  const T* x = args.inputs[0].as<T>();
  T* y = args.outputs[0].as<T>();
  for (int64_t c = 0; c < sizes.c; ++c) {
    const double scale = get<T>(args.inputs[1], c, 1), bias = get<T>(args.inputs[2], c, 0);
    for (int64_t part = 0; part < splits; ++part) {
      const double mean = args.inputs[3].as<T>()[part * sizes.c + c];
      const double inverse_std = args.inputs[4].as<T>()[part * sizes.c + c];
      for_each(sizes, c, part, splits, [&](int64_t i) {
        y[i] = static_cast<T>(scale * (x[i] - mean) * inverse_std + bias);
      });
    }
  }
}

/// dx = scale * inverse_std * (dy - mean(dy) - z * mean(dy * z)), z = (x - mean) * inverse_std.
template <typename T>
void batch_norm_backward(const Attributes&, const KernelArgs& args) {
  const Channels sizes(args.inputs[0].type);
  const int64_t splits = dim(args.inputs[3], 0) / sizes.c;
  const double count = static_cast<double>(sizes.n / splits * sizes.inner);
  const T* dy = args.inputs[0].as<T>();
  const T* x = args.inputs[1].as<T>();
  for (int64_t c = 0; c < sizes.c; ++c) {
    const double scale = get<T>(args.inputs[2], c, 1);
    double dbiases = 0, dscales = 0;
    for (int64_t part = 0; part < splits; ++part) {
      const double mean = args.inputs[3].as<T>()[part * sizes.c + c];
      const double inverse_std = args.inputs[4].as<T>()[part * sizes.c + c];
      double dbias = 0, dscale = 0;
      for_each(sizes, c, part, splits, [&](int64_t i) {
        dbias += dy[i];
        dscale += dy[i] * (x[i] - mean) * inverse_std;
      });
      dbiases += dbias;
      dscales += dscale;
      if (T* dx = args.outputs[0].as<T>())
        for_each(sizes, c, part, splits, [&](int64_t i) {
          const double z = (x[i] - mean) * inverse_std;
          dx[i] =
              static_cast<T>(scale * inverse_std * (dy[i] - dbias / count - z * dscale / count));
        });
    }
    put<T>(args.outputs[1], c, dscales);
    put<T>(args.outputs[2], c, dbiases);
  }
}

constexpr KernelEntry kKernels[] = {
    {"batch_norm", batch_norm<float>, batch_norm<double>},
    {"batch_norm_inference", batch_norm_inference<float>, batch_norm_inference<double>},
    {"batch_norm_apply", batch_norm_apply<float>, batch_norm_apply<double>},
    {"batch_norm_backward", batch_norm_backward<float>, batch_norm_backward<double>},
};

}  // namespace

std::span<const KernelEntry> norm_kernels() { return kKernels; }

}  // namespace expgraph::reference
