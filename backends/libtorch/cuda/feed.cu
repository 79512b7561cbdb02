// feed: resident samples, the order and the choices of an epoch -> the batch of a step; schedules
// in, metrics out, all by a step counter that lies on the device.
#include "backends/libtorch/cuda/device.cuh"

namespace expgraph::cuda {
namespace {

constexpr int kThreads = 256;

/// Where an output pixel comes from: a position of the source, or zero.
struct Origin {
  int64_t y, x;
  bool zero = false;
  bool raw = false;  ///< the zero is a sample's, not a normalised value
};

__device__ int64_t mirrored(int64_t at, int64_t size) {
  if (at < 0) return -at;
  return at < size ? at : 2 * (size - 1) - at;
}

__device__ Origin origin_of(const Augment& args, int64_t sample, int64_t y, int64_t x) {
  Origin at{y, x};
  for (int k = 0; k < args.steps; ++k) {
    const AugmentStep& step = args.program[k];
    const int32_t* choice =
        step.choices == nullptr ? nullptr : step.choices + sample * step.choice_width;
    switch (step.kind) {
      case AugmentStep::Kind::offset:
        at.y += step.y + (choice != nullptr ? choice[0] : 0);
        at.x += step.x + (choice != nullptr ? choice[1] : 0);
        break;
      case AugmentStep::Kind::flip:
        if (choice[0] == 1) at.x = step.width - 1 - at.x;
        break;
      case AugmentStep::Kind::cutout:
        at.zero = at.y >= choice[0] && at.y < choice[0] + step.y && at.x >= choice[1] &&
                  at.x < choice[1] + step.x;
        break;
      case AugmentStep::Kind::reflect:
        at.y = mirrored(at.y, step.height);
        at.x = mirrored(at.x, step.width);
        break;
      case AugmentStep::Kind::zeros:
        at.zero = at.y < 0 || at.y >= step.height || at.x < 0 || at.x >= step.width;
        break;
      case AugmentStep::Kind::normalise:
        at.raw = true;
        break;
    }
    if (at.zero) return at;
  }
  return at;
}

template <typename T>
__global__ void __launch_bounds__(kThreads) gather_kernel(Augment args) {
  const int32_t* order = args.order + *args.step * args.full_batch;
  const int64_t pixels = args.batch * args.out_h * args.out_w;
  const int64_t pixel = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (pixel >= pixels) return;
  const int64_t x = pixel % args.out_w, line = pixel / args.out_w;
  const int64_t n = line / args.out_h;
  const int64_t sample = order[n];
  if (x == 0 && line % args.out_h == 0) args.label[n] = args.labels[sample];
  const Origin at = origin_of(args, sample, line % args.out_h, x);
  const uint8_t* from = args.samples + ((sample * args.h + at.y) * args.w + at.x) * args.c;
  T* to = static_cast<T*>(args.images) + pixel * args.c;
  for (int64_t c = 0; c < args.c; ++c) {
    const float* values = args.values + c * 256;
    store(to[c], !at.zero ? values[from[c]] : at.raw ? values[0] : 0);
  }
}

__global__ void record_kernel(MetricSources sources, float* table, int64_t* step) {
  const int64_t now = *step;
  __syncthreads();
  if (const int k = static_cast<int>(threadIdx.x); k < sources.count) {
    table[now * sources.count + k] = *sources.at[k];
  }
  if (threadIdx.x == 0) *step = now + 1;
}

__global__ void schedules_kernel(const float* table, const int64_t* step, ScheduleTargets values) {
  if (const int k = static_cast<int>(threadIdx.x); k < values.count) {
    *values.at[k] = table[*step * values.count + k];
  }
}

}  // namespace

void gather_batch(const Augment& args, Stream stream) {
  const int64_t pixels = args.batch * args.out_h * args.out_w;
  LaunchSize size;
  size.block = dim3(kThreads);
  size.grid = dim3(static_cast<unsigned>((pixels + kThreads - 1) / kThreads));
  with_type(args.storage, [&](auto type) {
    using T = typename decltype(type)::type;
    launch("gather_batch", gather_kernel<T>, size, stream, args);
  });
}

void record_metrics(const MetricSources& sources, float* table, int64_t* step, Stream stream) {
  LaunchSize size;
  size.block = dim3(kMostMetrics);
  launch("record_metrics", record_kernel, size, stream, sources, table, step);
}

void read_schedules(const float* table, const int64_t* step, const ScheduleTargets& values,
                    Stream stream) {
  LaunchSize size;
  size.block = dim3(kMostMetrics);
  launch("read_schedules", schedules_kernel, size, stream, table, step, values);
}

}  // namespace expgraph::cuda
