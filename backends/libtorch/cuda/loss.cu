// loss: logits and labels -> cross-entropy, its gradient, and the count of correct answers: a warp
// a sample, then one block that adds the samples up in an order of its own.
#include "backends/libtorch/cuda/device.cuh"

namespace expgraph::cuda {
namespace {

constexpr int kRows = 8;  // samples a block
constexpr int kSumThreads = 256;

LaunchSize a_warp_each(int64_t rows) {
  LaunchSize size;
  size.block = dim3(kWarp, kRows);
  size.grid = dim3(static_cast<unsigned>((rows + kRows - 1) / kRows));
  return size;
}

/// log(sum(exp(row))) in every lane, without overflow; in double, as what is made of it cancels.
template <typename T>
__device__ double log_sum_exp(const T* row, int64_t classes) {
  float largest = -INFINITY;
  for (int64_t k = threadIdx.x; k < classes; k += kWarp) {
    const float x = to_float(row[k]);
    largest = x > largest || x != x ? x : largest;
  }
  largest = largest_of_warp(largest);
  double sum = 0;
  for (int64_t k = threadIdx.x; k < classes; k += kWarp)
    sum += exp(static_cast<double>(to_float(row[k])) - largest);
  return largest + log(sum_of_warp(sum));
}

/// What a sample is to be: a label, or two that share it by weight.
struct Target {
  int32_t label, other;
  double weight = 1;  ///< of label
  bool valid;

  __device__ Target(const CrossEntropy& args, int64_t sample, int64_t classes)
      : label(args.label[sample]), other(label) {
    if (args.other != nullptr) {
      other = args.other[sample];
      weight = args.weight[sample] / 65536.0;
    }
    valid = label >= 0 && label < classes && other >= 0 && other < classes;
  }
  __device__ double at(int64_t k) const {
    return (k == label ? weight : 0) + (k == other ? 1 - weight : 0);
  }
};

/// `losses`: of each sample; null where not wanted.
template <typename T>
__global__ void __launch_bounds__(kWarp* kRows)
    cross_entropy_kernel(LossSizes sizes, CrossEntropy args, float* losses) {
  const int64_t n = int64_t{blockIdx.x} * kRows + threadIdx.y;
  if (n >= sizes.n) return;  // a whole warp
  const T* row = static_cast<const T*>(args.logits) + n * sizes.classes;
  const Target target(args, n, sizes.classes);
  const double norm = log_sum_exp(row, sizes.classes);
  const double smoothing = sizes.label_smoothing;
  const double everywhere = smoothing / static_cast<double>(sizes.classes);
  if (losses != nullptr) {
    double loss = 0;
    for (int64_t k = threadIdx.x; k < sizes.classes; k += kWarp) {
      const double weight = (1 - smoothing) * target.at(k) + everywhere;
      if (weight > 0) loss += weight * (norm - to_float(row[k]));  // of an infinite logit only then
    }
    loss = sum_of_warp(loss);
    if (threadIdx.x == 0) losses[n] = target.valid ? static_cast<float>(loss) : NAN;
  }
  if (args.dlogits == nullptr) return;
  const double dloss = *args.dloss / (sizes.mean ? static_cast<double>(sizes.n) : 1);
  T* gradient = static_cast<T*>(args.dlogits) + n * sizes.classes;
  for (int64_t k = threadIdx.x; k < sizes.classes; k += kWarp) {
    const double weight = (1 - smoothing) * target.at(k) + everywhere;
    const double difference = exp(to_float(row[k]) - norm) - weight;
    store(gradient[k], target.valid ? static_cast<float>(dloss * difference) : NAN);
  }
}

template <typename T>
__global__ void __launch_bounds__(kWarp* kRows)
    correct_kernel(LossSizes sizes, const T* logits, const int32_t* label, int64_t k,
                   float* correct) {
  const int64_t n = int64_t{blockIdx.x} * kRows + threadIdx.y;
  if (n >= sizes.n) return;
  const T* row = logits + n * sizes.classes;
  const int64_t own = label[n];
  if (own < 0 || own >= sizes.classes) {
    if (threadIdx.x == 0) correct[n] = NAN;
    return;
  }
  const float mine = to_float(row[own]);
  float before = 0;  // classes that come before the label; a NaN at the label: all of them
  for (int64_t j = threadIdx.x; j < sizes.classes; j += kWarp) {
    const float other = to_float(row[j]);
    const bool label_first = mine > other || (mine == other && own <= j);
    before += j != own && !label_first ? 1 : 0;
  }
  before = sum_of_warp(before);
  if (threadIdx.x == 0) correct[n] = before < static_cast<float>(k) ? 1 : 0;
}

/// *to = sum(from) / divisor, by one block.
__global__ void __launch_bounds__(kSumThreads)
    sum_kernel(const float* from, int64_t count, float divisor, float* to) {
  Sums sums;
  for (int64_t i = threadIdx.y; i < count; i += kSumThreads) sums.first += from[i];
  sums = sum_rows_of_block(shared_memory<float>(), sums);
  if (threadIdx.y == 0) *to = sums.first / divisor;
}

void sum(const float* from, int64_t count, float divisor, float* to, Stream stream) {
  LaunchSize size;
  size.block = dim3(1, kSumThreads);
  size.shared_bytes = 2 * kSumThreads * sizeof(float);
  launch("sum", sum_kernel, size, stream, from, count, divisor, to);
}

}  // namespace

void cross_entropy(const LossSizes& sizes, const CrossEntropy& args, Stream stream) {
  float* losses = args.loss == nullptr ? nullptr : args.scratch;
  with_type(sizes.storage, [&](auto type) {
    using T = typename decltype(type)::type;
    launch("cross_entropy", cross_entropy_kernel<T>, a_warp_each(sizes.n), stream, sizes, args,
           losses);
  });
  if (losses == nullptr) return;
  sum(losses, sizes.n, sizes.mean ? static_cast<float>(sizes.n) : 1, args.loss, stream);
}

void count_correct(const LossSizes& sizes, const void* logits, const int32_t* label, int64_t k,
                   float* count, float* scratch, Stream stream) {
  with_type(sizes.storage, [&](auto type) {
    using T = typename decltype(type)::type;
    launch("count_correct", correct_kernel<T>, a_warp_each(sizes.n), stream, sizes,
           static_cast<const T*>(logits), label, k, scratch);
  });
  sum(scratch, sizes.n, 1, count, stream);
}

}  // namespace expgraph::cuda
