// norm: batch normalisation with pooling and activation over channels-last maps, as three kernels
// each way: sums over slices of the rows, their merge by channel, and the map. Sums are taken in an
// order that depends on the sizes alone, so that equal inputs give equal bits.
#include "backends/libtorch/cuda/device.cuh"

namespace expgraph::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostSlices = 512;
constexpr int64_t kRowsOfThread = 16;

/// Threads over [rows, channels]: x goes along the channels, V of them a thread, y along the rows.
LaunchSize over_rows(int64_t rows, int64_t channels, int vector, int64_t most_blocks) {
  const int64_t groups = (channels + vector - 1) / vector;
  int64_t across = 1;
  while (across < groups && across < kWarp) across *= 2;
  const int64_t down = kThreads / across;
  const int64_t slices = (rows + down * kRowsOfThread - 1) / (down * kRowsOfThread);
  LaunchSize size;
  size.block = dim3(static_cast<unsigned>(across), static_cast<unsigned>(down));
  size.grid = dim3(static_cast<unsigned>((groups + across - 1) / across),
                   static_cast<unsigned>(std::clamp<int64_t>(slices, 1, most_blocks)));
  return size;
}

LaunchSize over_slices(int64_t rows, int64_t channels, int vector) {
  LaunchSize size = over_rows(rows, channels, vector, kMostSlices);
  size.shared_bytes = 2 * kThreads * sizeof(float);
  return size;
}

LaunchSize over_channels(int64_t channels) {
  LaunchSize size;
  size.block = dim3(kWarp, kThreads / kWarp);
  size.grid = dim3(static_cast<unsigned>((channels + kWarp - 1) / kWarp));
  size.shared_bytes = 2 * kThreads * sizeof(float);
  return size;
}

/// The first of this thread's V channels.
template <int V>
__device__ int64_t first_channel() {
  return (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * V;
}
__device__ int64_t first_row() { return int64_t{blockIdx.y} * blockDim.y + threadIdx.y; }
__device__ int64_t row_step() { return int64_t{gridDim.y} * blockDim.y; }

__device__ float activate(const NormSizes& sizes, float x) {
  switch (sizes.activation) {
    case Activation::relu:
      return x < 0 ? 0 : x;  // NaN goes through
    case Activation::celu:
      return x > 0 ? x : sizes.alpha * expm1f(x / sizes.alpha);
    case Activation::gelu:
      return 0.5f * x * (1 + erff(x * 0.70710678f));
    case Activation::none:
      break;
  }
  return x;
}

/// The activation's derivative, from what was saved of it: see NormBackward.
__device__ float slope(const NormSizes& sizes, float saved) {
  switch (sizes.activation) {
    case Activation::relu:
      return saved > 0 ? 1 : 0;
    case Activation::celu:
      return saved > 0 ? 1 : saved / sizes.alpha + 1;
    case Activation::gelu:
      return 0.5f * (1 + erff(saved * 0.70710678f)) +
             saved * 0.39894228f * expf(-0.5f * saved * saved);
    case Activation::none:
      break;
  }
  return 1;
}

/// A place of the output: its image, and where its window starts in the map.
struct Place {
  int64_t image;
  int64_t top, left;
};
__device__ Place place_of(const NormSizes& sizes, int64_t row) {
  const PoolWindow& window = sizes.window;
  const int64_t column = row % window.out_w, line = row / window.out_w;
  return {line / window.out_h, line % window.out_h * window.sh - window.ph,
          column * window.sw - window.pw};
}
__device__ int64_t row_of(const NormSizes& sizes, int64_t image, int64_t y, int64_t x) {
  return (image * sizes.h + y) * sizes.w + x;
}

/// Writes this block's sums of V channels to partial[slice][first, second][channel].
template <int V>
__device__ void write_partials(const NormSizes& sizes, float* partial, const float (&first)[V],
                               const float (&second)[V]) {
  float* shared = shared_memory<float>();
  const int64_t channel = first_channel<V>();
  float* to = partial + int64_t{blockIdx.y} * 2 * sizes.c + channel;
  for (int v = 0; v < V; ++v) {
    const Sums sums = sum_rows_of_block(shared, {first[v], second[v]});
    if (threadIdx.y != 0 || channel >= sizes.c) continue;
    to[v] = sums.first;
    to[sizes.c + v] = sums.second;
  }
}

/// Sums of a channel over all slices; threads of row 0 get them. All threads of the block call it.
__device__ Sums merge_partials(const NormSizes& sizes, const float* partial, int slices,
                               int64_t channel) {
  Sums sums;
  for (int slice = static_cast<int>(threadIdx.y); slice < slices && channel < sizes.c;
       slice += static_cast<int>(blockDim.y)) {
    const float* from = partial + int64_t{slice} * 2 * sizes.c + channel;
    sums.first += from[0];
    sums.second += from[sizes.c];
  }
  return sum_rows_of_block(shared_memory<float>(), sums);
}

/// Sums of x - k and (x - k)^2, k being the channel's first value: squares of values about any k
/// near them do not cancel.
template <typename T, int V>
__global__ void __launch_bounds__(kThreads)
    statistics_kernel(NormSizes sizes, const T* x, float* partial) {
  float first[V] = {}, second[V] = {};
  if (const int64_t channel = first_channel<V>(); channel < sizes.c) {
    const Pack<T, V> about = pack<V>(x + channel);
    for (int64_t row = first_row(); row < sizes.rows(); row += row_step()) {
      const Pack<T, V> values = pack<V>(x + row * sizes.c + channel);
      for (int v = 0; v < V; ++v) {
        const float difference = to_float(values.at[v]) - to_float(about.at[v]);
        first[v] += difference;
        second[v] = fmaf(difference, difference, second[v]);
      }
    }
  }
  write_partials<V>(sizes, partial, first, second);
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    merge_statistics_kernel(NormSizes sizes, NormForward args, int slices) {
  const int64_t channel = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const Sums sums = merge_partials(sizes, args.scratch, slices, channel);
  if (threadIdx.y != 0 || channel >= sizes.c) return;
  const float count = static_cast<float>(sizes.rows());
  const float offset = sums.first / count;
  const float mean = to_float(static_cast<const T*>(args.x)[channel]) + offset;
  const float rounded = sums.second / count - offset * offset;
  const float variance = rounded < 0 ? 0 : rounded;  // NaN stays
  args.mean[channel] = mean;
  args.inverse_std[channel] = 1 / sqrtf(variance + args.epsilon);
  const float weight = args.momentum;
  if (args.new_running_mean != nullptr) {
    args.new_running_mean[channel] = (1 - weight) * args.running_mean[channel] + weight * mean;
  }
  if (args.new_running_var != nullptr) {
    const float unbiased = variance * (count / (count > 1 ? count - 1 : 1));
    args.new_running_var[channel] = (1 - weight) * args.running_var[channel] + weight * unbiased;
  }
}

/// scale * inverse_std, mean and bias of V channels.
template <int V>
struct Coefficients {
  float scale[V], mean[V], bias[V];

  __device__ Coefficients(const NormApply& args, int64_t channel) {
    for (int v = 0; v < V; ++v) {
      const float spread = args.spread[channel + v];
      const float inverse_std = args.spread_is_variance ? 1 / sqrtf(spread + args.epsilon) : spread;
      scale[v] = args.scale[channel + v] * inverse_std;
      mean[v] = args.mean[channel + v];
      bias[v] = args.bias[channel + v];
    }
  }
  __device__ float operator()(float x, int v) const { return fmaf(x - mean[v], scale[v], bias[v]); }
};

template <typename T, int V, bool kPooled>
__global__ void __launch_bounds__(kThreads) apply_kernel(NormSizes sizes, NormApply args) {
  const int64_t channel = first_channel<V>();
  if (channel >= sizes.c) return;
  const T* x = static_cast<const T*>(args.x) + channel;
  T* y = static_cast<T*>(args.y) + channel;
  const Coefficients<V> normalised(args, channel);
  for (int64_t row = first_row(); row < sizes.out_rows(); row += row_step()) {
    float largest[V];
    for (int v = 0; v < V; ++v) largest[v] = -INFINITY;
    Pack<uint8_t, V> index{};
    if constexpr (kPooled) {
      const PoolWindow& window = sizes.window;
      const Place place = place_of(sizes, row);
      bool found = false;
      for (int place_y = 0; place_y < window.kh; ++place_y) {
        for (int place_x = 0; place_x < window.kw; ++place_x) {
          const int64_t h = place.top + place_y, w = place.left + place_x;
          if (h < 0 || h >= sizes.h || w < 0 || w >= sizes.w) continue;
          const Pack<T, V> values = pack<V>(x + row_of(sizes, place.image, h, w) * sizes.c);
          for (int v = 0; v < V; ++v) {
            const float value = normalised(to_float(values.at[v]), v);
            if (found && !(value > largest[v]) && value == value) continue;  // NaN wins
            largest[v] = value;
            index.at[v] = static_cast<uint8_t>(place_y * window.kw + place_x);
          }
          found = true;
        }
      }
      if (args.index != nullptr) pack<V>(args.index + row * sizes.c + channel) = index;
    } else {
      const Pack<T, V> values = pack<V>(x + row * sizes.c);
      for (int v = 0; v < V; ++v) largest[v] = normalised(to_float(values.at[v]), v);
    }
    Pack<T, V> out;
    for (int v = 0; v < V; ++v) store(out.at[v], activate(sizes, largest[v]));
    pack<V>(y + row * sizes.c) = out;
  }
}

/// dy times the activation's slope, of V channels at one place of the output.
template <typename T, int V>
struct Gradient {
  float at[V];

  __device__ Gradient(const NormSizes& sizes, const NormBackward& args, int64_t offset) {
    const Pack<T, V> dy = pack<V>(static_cast<const T*>(args.dy) + offset);
    for (int v = 0; v < V; ++v) at[v] = to_float(dy.at[v]);
    if (sizes.activation == Activation::none) return;
    const Pack<T, V> saved = pack<V>(static_cast<const T*>(args.saved) + offset);
    for (int v = 0; v < V; ++v) at[v] *= slope(sizes, to_float(saved.at[v]));
  }
};

/// Sums of dz and dz * (x - mean), over the places of the output: no other place has a dz.
template <typename T, int V, bool kPooled>
__global__ void __launch_bounds__(kThreads)
    gradient_sums_kernel(NormSizes sizes, NormBackward args) {
  float first[V] = {}, second[V] = {};
  if (const int64_t channel = first_channel<V>(); channel < sizes.c) {
    const T* x = static_cast<const T*>(args.x) + channel;
    float mean[V];
    for (int v = 0; v < V; ++v) mean[v] = args.mean[channel + v];
    for (int64_t row = first_row(); row < sizes.out_rows(); row += row_step()) {
      const Gradient<T, V> dz(sizes, args, row * sizes.c + channel);
      Pack<T, V> values;
      if constexpr (kPooled) {
        const Place place = place_of(sizes, row);
        const Pack<uint8_t, V> index = pack<V>(args.index + row * sizes.c + channel);
        for (int v = 0; v < V; ++v) {
          const int64_t h = place.top + index.at[v] / sizes.window.kw;
          const int64_t w = place.left + index.at[v] % sizes.window.kw;
          values.at[v] = x[row_of(sizes, place.image, h, w) * sizes.c + v];
        }
      } else {
        values = pack<V>(x + row * sizes.c);
      }
      for (int v = 0; v < V; ++v) {
        first[v] += dz.at[v];
        second[v] = fmaf(dz.at[v], to_float(values.at[v]) - mean[v], second[v]);
      }
    }
  }
  write_partials<V>(sizes, args.scratch, first, second);
}

__global__ void __launch_bounds__(kThreads)
    merge_gradients_kernel(NormSizes sizes, NormBackward args, int slices) {
  const int64_t channel = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const Sums sums = merge_partials(sizes, args.scratch, slices, channel);
  if (threadIdx.y != 0 || channel >= sizes.c) return;
  args.dbias[channel] = sums.first;
  args.dscale[channel] = sums.second * args.inverse_std[channel];
}

/// The outputs o along one axis whose windows hold position `at`: first <= o <= last.
struct Covering {
  int64_t first, last;
  __device__ Covering(int64_t at, int size, int stride, int padding, int64_t count) {
    const int64_t end = at + padding;
    first = end < size ? 0 : (end - size) / stride + 1;
    last = end / stride < count ? end / stride : count - 1;
  }
};

template <typename T, int V, bool kPooled>
__global__ void __launch_bounds__(kThreads) backward_kernel(NormSizes sizes, NormBackward args) {
  const int64_t channel = first_channel<V>();
  if (channel >= sizes.c) return;
  const float count = static_cast<float>(sizes.rows());
  float scale[V], mean[V], bias_term[V], scale_term[V];
  for (int v = 0; v < V; ++v) {
    const float inverse_std = args.inverse_std[channel + v];
    scale[v] = args.scale[channel + v] * inverse_std;
    mean[v] = args.mean[channel + v];
    bias_term[v] = args.dbias[channel + v] / count;
    scale_term[v] = args.dscale[channel + v] * inverse_std / count;
  }
  for (int64_t row = first_row(); row < sizes.rows(); row += row_step()) {
    float dz[V] = {};
    if constexpr (kPooled) {
      const PoolWindow& window = sizes.window;
      const int64_t w = row % sizes.w, h = row / sizes.w % sizes.h;
      const int64_t image = row / sizes.w / sizes.h;
      const Covering rows(h, window.kh, window.sh, window.ph, window.out_h);
      const Covering columns(w, window.kw, window.sw, window.pw, window.out_w);
      for (int64_t oh = rows.first; oh <= rows.last; ++oh) {
        for (int64_t ow = columns.first; ow <= columns.last; ++ow) {
          const int64_t out = (image * window.out_h + oh) * window.out_w + ow;
          const int64_t offset = out * sizes.c + channel;
          const int64_t here =
              (h + window.ph - oh * window.sh) * window.kw + (w + window.pw - ow * window.sw);
          const Pack<uint8_t, V> index = pack<V>(args.index + offset);
          const Gradient<T, V> gradient(sizes, args, offset);
          for (int v = 0; v < V; ++v) dz[v] += index.at[v] == here ? gradient.at[v] : 0;
        }
      }
    } else {
      const Gradient<T, V> gradient(sizes, args, row * sizes.c + channel);
      for (int v = 0; v < V; ++v) dz[v] = gradient.at[v];
    }
    const int64_t offset = row * sizes.c + channel;
    const Pack<T, V> x = pack<V>(static_cast<const T*>(args.x) + offset);
    Pack<T, V> dx;
    for (int v = 0; v < V; ++v) {
      const float about_mean = to_float(x.at[v]) - mean[v];
      store(dx.at[v], scale[v] * (dz[v] - bias_term[v] - about_mean * scale_term[v]));
    }
    pack<V>(static_cast<T*>(args.dx) + offset) = dx;
  }
}

/// f(Type<T>, constant V, constant kPooled): V fills 16 bytes where the channels and all pointers
/// allow it, else it is 1.
template <typename F>
void with_variant(const NormSizes& sizes, std::initializer_list<const void*> maps,
                  const uint8_t* index, F f) {
  with_type(sizes.storage, [&](auto type) {
    using T = typename decltype(type)::type;
    constexpr int kWide = 16 / sizeof(T);
    const bool wide =
        sizes.c % kWide == 0 && aligned(index, kWide) &&
        std::all_of(maps.begin(), maps.end(), [](const void* map) { return aligned(map, 16); });
    const auto with_pooling = [&](auto vector) {
      if (sizes.pooled) f(type, vector, std::true_type{});
      if (!sizes.pooled) f(type, vector, std::false_type{});
    };
    if (wide) with_pooling(std::integral_constant<int, kWide>{});
    if (!wide) with_pooling(std::integral_constant<int, 1>{});
  });
}

}  // namespace

int64_t batch_norm_scratch_bytes(const NormSizes& sizes) {
  // The narrow variant has at least as many slices as any other.
  const LaunchSize size = over_slices(std::max(sizes.rows(), sizes.out_rows()), sizes.c, 1);
  return int64_t{size.grid.y} * 2 * sizes.c * int64_t{sizeof(float)};
}

void batch_norm_apply(const NormSizes& sizes, const NormApply& args, Stream stream) {
  with_variant(sizes, {args.x, args.y}, args.index, [&](auto type, auto vector, auto pooled) {
    using T = typename decltype(type)::type;
    launch("batch_norm_apply", apply_kernel<T, vector, pooled>,
           over_rows(sizes.out_rows(), sizes.c, vector, 65535), stream, sizes, args);
  });
}

void batch_norm_forward(const NormSizes& sizes, const NormForward& args, Stream stream) {
  with_variant(sizes, {args.x}, nullptr, [&](auto type, auto vector, auto) {
    using T = typename decltype(type)::type;
    const LaunchSize size = over_slices(sizes.rows(), sizes.c, vector);
    launch("batch_norm_statistics", statistics_kernel<T, vector>, size, stream, sizes,
           static_cast<const T*>(args.x), args.scratch);
    launch("batch_norm_merge", merge_statistics_kernel<T>, over_channels(sizes.c), stream, sizes,
           args, static_cast<int>(size.grid.y));
  });
  batch_norm_apply(sizes,
                   {.x = args.x,
                    .scale = args.scale,
                    .bias = args.bias,
                    .mean = args.mean,
                    .spread = args.inverse_std,
                    .y = args.y,
                    .index = args.index},
                   stream);
}

void batch_norm_backward(const NormSizes& sizes, const NormBackward& args, Stream stream) {
  with_variant(sizes, {args.dy, args.saved, args.x, args.dx}, args.index,
               [&](auto type, auto vector, auto pooled) {
                 using T = typename decltype(type)::type;
                 const LaunchSize size = over_slices(sizes.out_rows(), sizes.c, vector);
                 launch("batch_norm_gradient_sums", gradient_sums_kernel<T, vector, pooled>, size,
                        stream, sizes, args);
                 launch("batch_norm_merge_gradients", merge_gradients_kernel,
                        over_channels(sizes.c), stream, sizes, args, static_cast<int>(size.grid.y));
                 if (args.dx == nullptr) return;
                 launch("batch_norm_backward", backward_kernel<T, vector, pooled>,
                        over_rows(sizes.rows(), sizes.c, vector, 65535), stream, sizes, args);
               });
}

}  // namespace expgraph::cuda
