// norm: batch normalisation with pooling and activation over channels-last maps, as three kernels
// each way: sums over slices of the rows, their merge by channel, and the map. Sums are taken in an
// order that depends on the sizes alone, so that equal inputs give equal bits.
#include "backends/libtorch/cuda/device.cuh"

namespace expgraph::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostSlices = 512;
constexpr int64_t kRowsOfThread = 16;

/// Threads over [parts, rows of a part, channels]: x goes along the channels, V of them a thread, y
/// along the rows, z along the parts.
LaunchSize over_rows(const NormSizes& sizes, int64_t rows, int vector, int64_t most_blocks) {
  const int64_t groups = (sizes.c + vector - 1) / vector;
  int64_t across = 1;
  while (across < groups && across < kWarp) across *= 2;
  const int64_t down = kThreads / across;
  const int64_t slices = (rows + down * kRowsOfThread - 1) / (down * kRowsOfThread);
  LaunchSize size;
  size.block = dim3(static_cast<unsigned>(across), static_cast<unsigned>(down));
  size.grid = dim3(static_cast<unsigned>((groups + across - 1) / across),
                   static_cast<unsigned>(std::clamp<int64_t>(slices, 1, most_blocks)),
                   static_cast<unsigned>(sizes.splits));
  return size;
}

LaunchSize over_slices(const NormSizes& sizes, int64_t rows, int vector) {
  const int64_t most = std::max<int64_t>(kMostSlices / sizes.splits, 1);
  LaunchSize size = over_rows(sizes, rows, vector, most);
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
/// This thread's rows in its part of the batch, a row step apart.
struct Rows {
  int64_t begin, end;
  __device__ explicit Rows(int64_t rows_of_part)
      : begin(blockIdx.z * rows_of_part + int64_t{blockIdx.y} * blockDim.y + threadIdx.y),
        end((blockIdx.z + 1) * rows_of_part) {}
};
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

/// Writes this block's sums of V channels to partial[part][slice][first, second][channel].
template <int V>
__device__ void write_partials(const NormSizes& sizes, float* partial, const float (&first)[V],
                               const float (&second)[V]) {
  float* shared = shared_memory<float>();
  const int64_t channel = first_channel<V>();
  const int64_t slice = int64_t{blockIdx.z} * gridDim.y + blockIdx.y;
  float* to = partial + slice * 2 * sizes.c + channel;
  for (int v = 0; v < V; ++v) {
    const Sums sums = sum_rows_of_block(shared, {first[v], second[v]});
    if (threadIdx.y != 0 || channel >= sizes.c) continue;
    to[v] = sums.first;
    to[sizes.c + v] = sums.second;
  }
}

/// Sums of a channel over all slices of a part; threads of row 0 get them. All threads of the block
/// call it.
__device__ Sums merge_partials(const NormSizes& sizes, const float* partial, int part, int slices,
                               int64_t channel) {
  partial += int64_t{part} * slices * 2 * sizes.c;
  Sums sums;
  for (int slice = static_cast<int>(threadIdx.y); slice < slices && channel < sizes.c;
       slice += static_cast<int>(blockDim.y)) {
    const float* from = partial + int64_t{slice} * 2 * sizes.c + channel;
    sums.first += from[0];
    sums.second += from[sizes.c];
  }
  return sum_rows_of_block(shared_memory<float>(), sums);
}

/// The value of the channel that sums of a part are about: its first.
template <typename T>
__device__ const T* centre(const NormSizes& sizes, const T* x, int64_t part, int64_t channel) {
  return x + part * sizes.rows_of_part() * sizes.c + channel;
}

/// Sums of x - k and (x - k)^2, k being the channel's first value: squares of values about any k
/// near them do not cancel.
template <typename T, int V>
__global__ void __launch_bounds__(kThreads)
    statistics_kernel(NormSizes sizes, const T* x, float* partial) {
  float first[V] = {}, second[V] = {};
  if (const int64_t channel = first_channel<V>(); channel < sizes.c) {
    const Pack<T, V> about = pack<V>(centre(sizes, x, blockIdx.z, channel));
    const Rows rows(sizes.rows_of_part());
    for (int64_t row = rows.begin; row < rows.end; row += row_step()) {
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
  const float count = static_cast<float>(sizes.rows_of_part());
  const float parts = static_cast<float>(sizes.splits);
  float means = 0, variances = 0;  // over the parts
  for (int part = 0; part < sizes.splits; ++part) {
    const Sums sums = merge_partials(sizes, args.scratch, part, slices, channel);
    if (threadIdx.y != 0 || channel >= sizes.c) continue;
    const float offset = sums.first / count;
    const float mean =
        to_float(*centre(sizes, static_cast<const T*>(args.x), part, channel)) + offset;
    const float rounded = sums.second / count - offset * offset;
    const float variance = rounded < 0 ? 0 : rounded;  // NaN stays
    args.mean[part * sizes.c + channel] = mean;
    args.inverse_std[part * sizes.c + channel] = 1 / sqrtf(variance + args.epsilon);
    means += mean / parts;
    variances += variance * (count / (count > 1 ? count - 1 : 1)) / parts;
  }
  if (threadIdx.y != 0 || channel >= sizes.c) return;
  const float weight = args.momentum;
  if (args.new_running_mean != nullptr) {
    args.new_running_mean[channel] = (1 - weight) * args.running_mean[channel] + weight * means;
  }
  if (args.new_running_var != nullptr) {
    args.new_running_var[channel] = (1 - weight) * args.running_var[channel] + weight * variances;
  }
}

/// scale * inverse_std, mean and bias of V channels of this block's part.
template <int V>
struct Coefficients {
  float scale[V], mean[V], bias[V];

  __device__ Coefficients(const NormSizes& sizes, const NormApply& args, int64_t channel) {
    const int64_t first = blockIdx.z * sizes.c + channel;
    for (int v = 0; v < V; ++v) {
      const float spread = args.spread[first + v];
      const float inverse_std = args.spread_is_variance ? 1 / sqrtf(spread + args.epsilon) : spread;
      scale[v] = args.scale == nullptr ? inverse_std : args.scale[channel + v] * inverse_std;
      mean[v] = args.mean[first + v];
      bias[v] = args.bias == nullptr ? 0 : args.bias[channel + v];
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
  const Coefficients<V> normalised(sizes, args, channel);
  const Rows rows(sizes.out_rows_of_part());
  for (int64_t row = rows.begin; row < rows.end; row += row_step()) {
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

/// dy times the activation's slope where what that needs was saved, of V channels at one place of
/// the output.
template <typename T, int V>
struct Gradient {
  float at[V];

  __device__ Gradient(const NormSizes& sizes, const NormBackward& args, int64_t offset) {
    const Pack<T, V> dy = pack<V>(static_cast<const T*>(args.dy) + offset);
    for (int v = 0; v < V; ++v) at[v] = to_float(dy.at[v]);
    if (args.saved == nullptr) return;
    const Pack<T, V> saved = pack<V>(static_cast<const T*>(args.saved) + offset);
    for (int v = 0; v < V; ++v) at[v] *= slope(sizes, to_float(saved.at[v]));
  }
};

/// Of V channels of this block's part: the normalisation, and the slope of what follows it where
/// that was not saved.
template <int V>
struct Again {
  Coefficients<V> normalised;
  bool wanted;

  __device__ Again(const NormSizes& sizes, const NormBackward& args, int64_t channel)
      : normalised(
            sizes,
            {.scale = args.scale, .bias = args.bias, .mean = args.mean, .spread = args.inverse_std},
            channel),
        wanted(args.saved == nullptr && sizes.activation != Activation::none) {}
  /// Of dz, whose window's largest value is x.
  __device__ float operator()(const NormSizes& sizes, float dz, float x, int v) const {
    if (!wanted) return dz;
    const float z = normalised(x, v);
    return dz * slope(sizes, sizes.activation == Activation::gelu ? z : activate(sizes, z));
  }
};

/// Sums of dz and dz * (x - mean), over the places of the output: no other place has a dz.
template <typename T, int V, bool kPooled>
__global__ void __launch_bounds__(kThreads)
    gradient_sums_kernel(NormSizes sizes, NormBackward args) {
  float first[V] = {}, second[V] = {};
  if (const int64_t channel = first_channel<V>(); channel < sizes.c) {
    const T* x = static_cast<const T*>(args.x) + channel;
    const Again<V> again(sizes, args, channel);
    const Rows rows(sizes.out_rows_of_part());
    for (int64_t row = rows.begin; row < rows.end; row += row_step()) {
      const Gradient<T, V> gradient(sizes, args, row * sizes.c + channel);
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
        const float value = to_float(values.at[v]);
        const float dz = again(sizes, gradient.at[v], value, v);
        first[v] += dz;
        second[v] = fmaf(dz, value - again.normalised.mean[v], second[v]);
      }
    }
  }
  write_partials<V>(sizes, args.scratch, first, second);
}

/// [part][dbias, dscale][channel], behind the sums of slices.
__device__ float* sums_of_parts(const NormSizes& sizes, float* scratch, int slices) {
  return scratch + int64_t{sizes.splits} * slices * 2 * sizes.c;
}

__global__ void __launch_bounds__(kThreads)
    merge_gradients_kernel(NormSizes sizes, NormBackward args, int slices) {
  const int64_t channel = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  float* of_parts = sums_of_parts(sizes, args.scratch, slices);
  float dbias = 0, dscale = 0;
  for (int part = 0; part < sizes.splits; ++part) {
    const Sums sums = merge_partials(sizes, args.scratch, part, slices, channel);
    if (threadIdx.y != 0 || channel >= sizes.c) continue;
    const float scaled = sums.second * args.inverse_std[part * sizes.c + channel];
    of_parts[2 * part * sizes.c + channel] = sums.first;
    of_parts[(2 * part + 1) * sizes.c + channel] = scaled;
    dbias += sums.first;
    dscale += scaled;
  }
  if (threadIdx.y != 0 || channel >= sizes.c) return;
  if (args.dbias != nullptr) args.dbias[channel] = dbias;
  if (args.dscale != nullptr) args.dscale[channel] = dscale;
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
__global__ void __launch_bounds__(kThreads)
    backward_kernel(NormSizes sizes, NormBackward args, int slices) {
  const int64_t channel = first_channel<V>();
  if (channel >= sizes.c) return;
  const float count = static_cast<float>(sizes.rows_of_part());
  const Again<V> again(sizes, args, channel);
  const float* sums =
      sums_of_parts(sizes, args.scratch, slices) + 2 * int64_t{blockIdx.z} * sizes.c + channel;
  float bias_term[V], scale_term[V];
  for (int v = 0; v < V; ++v) {
    const float inverse_std = args.inverse_std[blockIdx.z * sizes.c + channel + v];
    bias_term[v] = sums[v] / count;
    scale_term[v] = sums[sizes.c + v] * inverse_std / count;
  }
  const Rows rows(sizes.rows_of_part());
  for (int64_t row = rows.begin; row < rows.end; row += row_step()) {
    float dz[V] = {};
    if constexpr (kPooled) {
      const PoolWindow& window = sizes.window;
      const int64_t w = row % sizes.w, h = row / sizes.w % sizes.h;
      const int64_t image = row / sizes.w / sizes.h;
      const Covering lines(h, window.kh, window.sh, window.ph, window.out_h);
      const Covering columns(w, window.kw, window.sw, window.pw, window.out_w);
      for (int64_t oh = lines.first; oh <= lines.last; ++oh) {
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
      const float value = to_float(x.at[v]);
      const float about_mean = value - again.normalised.mean[v];
      const float difference =
          again(sizes, dz[v], value, v) - bias_term[v] - about_mean * scale_term[v];
      store(dx.at[v], again.normalised.scale[v] * difference);
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
  const int64_t rows = std::max(sizes.rows_of_part(), sizes.out_rows_of_part());
  const int64_t slices = over_slices(sizes, rows, 1).grid.y;
  return sizes.splits * (slices + 1) * 2 * sizes.c * int64_t{sizeof(float)};
}

void batch_norm_apply(const NormSizes& sizes, const NormApply& args, Stream stream) {
  with_variant(sizes, {args.x, args.y}, args.index, [&](auto type, auto vector, auto pooled) {
    using T = typename decltype(type)::type;
    launch("batch_norm_apply", apply_kernel<T, vector, pooled>,
           over_rows(sizes, sizes.out_rows_of_part(), vector, 65535), stream, sizes, args);
  });
}

void batch_norm_forward(const NormSizes& sizes, const NormForward& args, Stream stream) {
  with_variant(sizes, {args.x}, nullptr, [&](auto type, auto vector, auto) {
    using T = typename decltype(type)::type;
    const LaunchSize size = over_slices(sizes, sizes.rows_of_part(), vector);
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
                 const LaunchSize size = over_slices(sizes, sizes.out_rows_of_part(), vector);
                 const int slices = static_cast<int>(size.grid.y);
                 launch("batch_norm_gradient_sums", gradient_sums_kernel<T, vector, pooled>, size,
                        stream, sizes, args);
                 launch("batch_norm_merge_gradients", merge_gradients_kernel,
                        over_channels(sizes.c), stream, sizes, args, slices);
                 if (args.dx == nullptr) return;
                 launch("batch_norm_backward", backward_kernel<T, vector, pooled>,
                        over_rows(sizes, sizes.rows_of_part(), vector, 65535), stream, sizes, args,
                        slices);
               });
}

}  // namespace expgraph::cuda
