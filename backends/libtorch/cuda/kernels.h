// kernels: the fused CUDA kernels as functions of raw device pointers, sizes and a stream. No
// framework is seen here: the backend calls them, and so does a test that runs them on the host.
#pragma once

#include <cstdint>

struct CUstream_st;

namespace expgraph::cuda {

using Stream = CUstream_st*;  ///< cudaStream_t

/// Element type of activations, in memory; arithmetic is in fp32.
enum class Storage { f32, f16, bf16 };

enum class Activation {
  none,
  relu,
  celu,  ///< x > 0 ? x : alpha * (exp(x / alpha) - 1) (Barron, 2017)
  gelu,  ///< x * Phi(x), exact (Hendrycks and Gimpel, 2016)
};

/// A window that slides over a map, as Window of core/ops/common.h, with the size of what it gives.
struct PoolWindow {
  int kh = 1, kw = 1, sh = 1, sw = 1, ph = 0, pw = 0;
  int64_t out_h = 0, out_w = 0;
};

/// x [n, h, w, c], channels last, normalised, then max-pooled if `pooled`, then activated.
struct NormSizes {
  Storage storage = Storage::f32;
  int64_t n = 0, h = 0, w = 0, c = 0;
  Activation activation = Activation::none;
  float alpha = 1;  ///< of celu
  bool pooled = false;
  PoolWindow window;  ///< at most 256 places, so that an index is a byte
  int splits = 1;     ///< equal parts of the n, in their order, with statistics of their own

  constexpr int64_t rows() const { return n * h * w; }
  constexpr int64_t out_rows() const { return pooled ? n * window.out_h * window.out_w : rows(); }
  constexpr int64_t rows_of_part() const { return rows() / splits; }
  constexpr int64_t out_rows_of_part() const { return out_rows() / splits; }
};

/// Bytes of scratch that batch_norm_forward and batch_norm_backward need.
int64_t batch_norm_scratch_bytes(const NormSizes& sizes);

struct NormForward {
  const void* x;
  const float *scale, *bias;                ///< [c]; null: 1, 0
  const float *running_mean, *running_var;  ///< [c]
  float epsilon, momentum;
  void* y;         ///< [n, out_h, out_w, c]; may be x when not pooled
  uint8_t* index;  ///< as y: the place of the maximum in its window; null where nobody reads it
  float *mean, *inverse_std;                  ///< [splits, c], of each part of this batch
  float *new_running_mean, *new_running_var;  ///< [c], may be the old ones; null: not wanted
  float* scratch;
};
/// Statistics of the parts of the batch, then of each part
/// y = activation(pool(scale * (x - mean) * inverse_std + bias)). Running statistics move towards
/// the mean of the parts'.
void batch_norm_forward(const NormSizes& sizes, const NormForward& args, Stream stream);

struct NormApply {
  const void* x;
  const float *scale, *bias;        ///< [c]; null: 1, 0
  const float* mean;                ///< [splits, c]
  const float* spread;              ///< [splits, c]: 1 / standard deviation, or the variance
  bool spread_is_variance = false;  ///< then 1 / sqrt(spread + epsilon) is taken
  float epsilon = 0;
  void* y;
  uint8_t* index;  ///< null where nobody reads it
};
/// The same by statistics that are known.
void batch_norm_apply(const NormSizes& sizes, const NormApply& args, Stream stream);

struct NormBackward {
  const void* dy;  ///< [n, out_h, out_w, c]
  /// As dy: the activation's output (relu, celu) or input (gelu). Null: it is made again from x, or
  /// there is no activation.
  const void* saved;
  const uint8_t* index;  ///< from the forward pass, when pooled
  const void* x;
  const float *scale, *bias;        ///< [c]; null: 1, 0; bias is read where `saved` is made again
  const float *mean, *inverse_std;  ///< [splits, c]
  void* dx;                         ///< as x; may be x, or dy when not pooled; null: not wanted
  float *dscale, *dbias;            ///< [c]; null: not wanted
  float* scratch;
};
/// Gradients through activation, pooling and normalisation.
void batch_norm_backward(const NormSizes& sizes, const NormBackward& args, Stream stream);

struct LossSizes {
  Storage storage = Storage::f32;
  int64_t n = 0, classes = 0;
  double label_smoothing = 0;
  bool mean = true;  ///< the loss is the mean over n, else the sum
};

struct CrossEntropy {
  const void* logits;     ///< [n, classes]
  const int32_t* label;   ///< [n]; out of range: the loss is NaN
  const int32_t* other;   ///< [n], a second label, as label; null: there is none
  const int32_t* weight;  ///< [n], of label beside other in 65536ths
  float* loss;            ///< scalar; null: not wanted
  const float* dloss;     ///< scalar
  void* dlogits;          ///< as logits, may be logits; null: not wanted
  float* scratch;         ///< [n]
};
/// Loss with label smoothing, of a label or of two that share it, and its gradient, as
/// cross_entropy and cross_entropy_backward.
void cross_entropy(const LossSizes& sizes, const CrossEntropy& args, Stream stream);

/// count = samples whose label is among the k largest logits, of equal ones the lower class first.
/// scratch: [n].
void count_correct(const LossSizes& sizes, const void* logits, const int32_t* label, int64_t k,
                   float* count, float* scratch, Stream stream);

/// One of the operators on samples, in kernels of augment.cu.
struct AugmentStage {
  enum class Kind {
    normalise,
    pad_reflect,
    pad_zero,
    random_crop,
    random_flip,
    cutout,
  };
  Kind kind = Kind::normalise;
  int height = 0, width = 0;                          ///< of the samples that it takes
  int rows = 0, columns = 0;                          ///< border of pad, box of cutout
  const int32_t* choice = nullptr;                    ///< [n, 2]: top, left; of random_flip [n, 1]
  const float *mean = nullptr, *deviation = nullptr;  ///< [c], of normalise

  constexpr bool draws() const {
    return kind == Kind::random_crop || kind == Kind::random_flip || kind == Kind::cutout;
  }
};

struct Augment {
  static constexpr int kMostStages = 8;
  const void* samples;    ///< [count, height, width, c]: bytes, or fp32
  bool is_bytes = true;   ///< what the samples are
  const int32_t* labels;  ///< [count]
  const int32_t* index;   ///< [n]; out of range: the image is NaN, its label -1
  int64_t count = 0, n = 0;
  int height = 0, width = 0, c = 0;
  AugmentStage stages[kMostStages];
  int stage_count = 0;
  int out_height = 0, out_width = 0;
  float* images;   ///< [n, out_height, out_width, c]
  int32_t* label;  ///< [n]
};
/// The batch of these samples, in one launch: what the stages give one after another, and labels.
/// Where a choice leads out of the sample, a pixel is NaN, and nothing is read.
void augment(const Augment& args, Stream stream);

/// Parameters of one update, laid end to end; the new values may be the old ones. Scalars are on
/// the device.
struct Update {
  const float *parameter, *gradient;
  const float* momentum;  ///< null: without
  const float* lr;        ///< scalar
  float *new_parameter, *new_momentum;
  int64_t count;
  float momentum_factor, weight_decay;
  bool nesterov;
  float* average = nullptr;      ///< of the new parameters, moved in place; null: without
  const float* decay = nullptr;  ///< scalar, weight of the past
  const float* when = nullptr;   ///< scalar, 0: the average is not written
  const float* last = nullptr;   ///< scalar, not 0: new parameters are the average; null: never
};
/// As sgd_update, then average_update and choose where there is an average, in one launch.
void sgd_update(const Update& update, Stream stream);

}  // namespace expgraph::cuda
