// augment: samples as they were read, an order and random choices -> the images and labels of a
// batch.
#include <limits>

#include "backends/libtorch/cuda/device.cuh"

namespace expgraph::cuda {
namespace {

using Kind = AugmentStage::Kind;

constexpr int kThreads = 256;
constexpr int kPixels = 4;  // of a thread, where an image has that many

/// Where a pixel comes from: a place in the sample, or a zero. It still goes through the stages
/// from `stage` on.
struct Origin {
  int row = 0, column = 0;
  int stage = 0;
  bool is_zero = false;
};

__device__ bool within(int i, int size) { return i >= 0 && i < size; }

__device__ int mirrored(int i, int size) {
  if (i < 0) return -i;
  return i < size ? i : 2 * (size - 1) - i;
}

/// Of a pixel of image n, the stages from the last one to the first.
__device__ Origin origin_of(const Augment& args, int64_t n, int row, int column) {
  for (int k = args.stage_count - 1; k >= 0; --k) {
    const AugmentStage& stage = args.stages[k];
    if (stage.kind == Kind::random_crop) {
      row += stage.choice[2 * n];
      column += stage.choice[2 * n + 1];
    } else if (stage.kind == Kind::random_flip) {
      if (stage.choice[n] == 1) column = stage.width - 1 - column;
    } else if (stage.kind == Kind::cutout) {
      const int top = stage.choice[2 * n], left = stage.choice[2 * n + 1];
      if (within(row - top, stage.rows) && within(column - left, stage.columns))
        return {.stage = k + 1, .is_zero = true};
    } else if (stage.kind != Kind::normalise) {
      row -= stage.rows;
      column -= stage.columns;
      const bool is_border = !within(row, stage.height) || !within(column, stage.width);
      if (is_border && stage.kind == Kind::pad_zero) return {.stage = k + 1, .is_zero = true};
      row = mirrored(row, stage.height);
      column = mirrored(column, stage.width);
    }
  }
  return {.row = row, .column = column};
}

/// A block makes pixels of the image blockIdx.x; neighbours in a row are made by neighbours.
template <typename X>
__global__ void __launch_bounds__(kThreads) augment_kernel(const __grid_constant__ Augment args) {
  const int64_t n = blockIdx.x;
  const int32_t sample = args.index[n];
  const bool is_there = sample >= 0 && sample < args.count;
  if (blockIdx.y == 0 && threadIdx.x == 0) args.label[n] = is_there ? args.labels[sample] : -1;
  const int64_t sample_size = int64_t{args.height} * args.width * args.c;
  const X* samples = static_cast<const X*>(args.samples);
  const auto width = static_cast<unsigned>(args.out_width);
  const unsigned pixels = static_cast<unsigned>(args.out_height) * width;
  for (unsigned at = blockIdx.y * kThreads + threadIdx.x; at < pixels; at += gridDim.y * kThreads) {
    const Origin from =
        origin_of(args, n, static_cast<int>(at / width), static_cast<int>(at % width));
    const bool is_read = !from.is_zero && is_there && within(from.row, args.height) &&
                         within(from.column, args.width);
    const int64_t place =
        sample * sample_size + (int64_t{from.row} * args.width + from.column) * args.c;
    float* to = args.images + (n * pixels + at) * args.c;
    for (int c = 0; c < args.c; ++c) {
      float x = from.is_zero && is_there ? 0.0f : std::numeric_limits<float>::quiet_NaN();
      if (is_read) x = static_cast<float>(samples[place + c]);
      // As the operators do it, one by one.
      for (int k = from.stage; k < args.stage_count; ++k) {
        const AugmentStage& stage = args.stages[k];
        if (stage.kind == Kind::normalise) x = (x - stage.mean[c]) / stage.deviation[c];
      }
      to[c] = x;
    }
  }
}

}  // namespace

void augment(const Augment& args, Stream stream) {
  constexpr int64_t kMostParts = 65535;  // of a grid, along y
  const int64_t pixels = int64_t{args.out_height} * args.out_width;
  EXPGRAPH_CHECK(args.n <= std::numeric_limits<int>::max());
  EXPGRAPH_CHECK(pixels <= std::numeric_limits<int>::max());
  EXPGRAPH_CHECK(args.stage_count <= Augment::kMostStages);
  constexpr int64_t kOfBlock = int64_t{kThreads} * kPixels;
  LaunchSize size;
  size.block = dim3(kThreads);
  size.grid = dim3(static_cast<unsigned>(args.n),
                   static_cast<unsigned>(std::min((pixels + kOfBlock - 1) / kOfBlock, kMostParts)));
  if (args.is_bytes)
    launch("augment", augment_kernel<uint8_t>, size, stream, args);
  else
    launch("augment", augment_kernel<float>, size, stream, args);
}

}  // namespace expgraph::cuda
