// norm_forward: normalisation by statistics of the batch, running ones or known ones, then max
// pooling and an activation: one pass for the statistics and one for all the rest.
#pragma once

#include <cmath>

#include "backends/onednn/norm_operands.h"
#include "backends/onednn/pool.h"
#include "backends/onednn/tiles.h"

namespace expgraph::onednn {

/// Where the operands of a forward normalisation are among a node's inputs and outputs.
struct Forward {
  enum class Mode { train, inference, apply };
  Mode mode = Mode::train;
  int x = 0, scale = -1, bias = -1, mean = 3, variance = 4;  ///< apply: mean and inverse_std
  int y = 0, mean_out = -1, inverse_std_out = -1, new_mean = -1, new_variance = -1, index = -1;
  std::optional<PoolShape> pool;  ///< of a part
  Activation activation;
  std::vector<int> plus;  ///< maps that are added to the activation's output
  double epsilon = 0, momentum = 0;
  int64_t splits = 1;                      ///< parts of the batch, each with statistics of its own
  std::shared_ptr<const Moments> moments;  ///< of x, if somebody left them; null: taken here
  bool is_short = false;                   ///< x and y are bf16; all else is f32
};

class ForwardKernel {
 public:
  ForwardKernel(const Forward& forward, const TensorType& x, int threads)
      : f_(forward),
        map_(part_of(x, forward.splits)),
        space_(map_),
        partials_(map_.c, 2, threads),
        threads_(threads),
        parameters_(map_.c, scratch_),
        moments_(map_.c, scratch_),
        totals_(map_.c, scratch_) {
    partials_at_ = scratch_.add(partials_.bytes());
    runs_ = Runs(f_.is_short, 3, space_.tile * map_.c, threads, scratch_);
    if (f_.pool) pool_runs_ = pool_runs(*f_.pool, f_.is_short, threads, scratch_);
  }
  int64_t scratch_bytes() const { return scratch_.bytes(); }

  void operator()(const KernelArgs& args) const {
    float* a = parameters_.of(args, 0);
    float* mean = parameters_.of(args, 1);
    float* b = parameters_.zeroed(args, 2);
    double* means = moments_.zeroed(args, 0);
    double* variances = moments_.zeroed(args, 1);
    if (const float* bias = input_at(args, f_.bias)) std::copy_n(bias, map_.c, b);
    for (int64_t part = 0; part < f_.splits; ++part) {
      if (f_.mode == Forward::Mode::train)
        take_statistics(args, part, a, mean, means, variances);
      else
        read_statistics(args, part, a, mean);
      if (const float* scale = input_at(args, f_.scale))
        for (int64_t c = 0; c < map_.c; ++c) a[c] *= scale[c];
      apply(args, part, {a, mean, b, f_.activation});
    }
    if (f_.mode == Forward::Mode::train) move_running(args, means, variances);
  }

 private:
  int64_t elements() const { return map_.pixels() * map_.c; }

  void read_statistics(const KernelArgs& args, int64_t part, float* a, float* mean) const {
    const float* first = input_at(args, f_.mean) + part * map_.c;
    const float* second = input_at(args, f_.variance) + part * map_.c;
    for (int64_t c = 0; c < map_.c; ++c) {
      mean[c] = first[c];
      a[c] = f_.mode == Forward::Mode::apply
                 ? second[c]
                 : static_cast<float>(1 / std::sqrt(double(second[c]) + f_.epsilon));
    }
  }

  /// The mean of each channel and the sum of squares about it. One pass over x, about a value of
  /// each channel, which keeps the difference of large numbers out of the variance.
  void take_totals(const KernelArgs& args, int64_t part, Moments::Total* totals) const {
    if (f_.moments) {
      for (int64_t c = 0; c < map_.c; ++c) totals[c] = f_.moments->total(c);
      return;
    }
    const RealsIn x = args.inputs[static_cast<size_t>(f_.x)];
    const int64_t first = part * elements();
    float* shift = parameters_.of(args, 1);
    std::copy_n(x.at(first, map_.c, runs_.of(args, 0, 0)), map_.c, shift);
    Partials sums = partials_;
    sums.place(args.scratch + partials_at_);
    space_.for_each(threads_, [&](int thread, int64_t pixel, int64_t count) {
      add_statistics(x.at(first + pixel * map_.c, count * map_.c, runs_.of(args, thread, 0)), count,
                     map_.c, shift, sums.of(thread, 0), sums.of(thread, 1));
    });
    const double count = static_cast<double>(map_.pixels());
    for (int64_t c = 0; c < map_.c; ++c) {
      const double offset = sums.total(0, c) / count;
      totals[c] = {shift[c] + offset, sums.total(1, c) - offset * offset * count};
    }
  }

  /// Adds to the means and unbiased variances of the parts.
  void take_statistics(const KernelArgs& args, int64_t part, float* inverse_std, float* mean,
                       double* means, double* variances) const {
    Moments::Total* totals = totals_.of(args, 0);
    take_totals(args, part, totals);
    const double count = static_cast<double>(map_.pixels());
    for (int64_t c = 0; c < map_.c; ++c) {
      const double squares = std::max(0.0, totals[c].squares);
      mean[c] = static_cast<float>(totals[c].mean);
      inverse_std[c] = static_cast<float>(1 / std::sqrt(squares / count + f_.epsilon));
      const int64_t at = part * map_.c + c;
      if (float* to = output_at(args, f_.mean_out)) to[at] = mean[c];
      if (float* to = output_at(args, f_.inverse_std_out)) to[at] = inverse_std[c];
      means[c] += totals[c].mean;
      variances[c] += squares / std::max(count - 1, 1.0);
    }
  }

  void move_running(const KernelArgs& args, const double* means, const double* variances) const {
    const auto move = [&](int from, int to, const double* now) {
      float* moved = output_at(args, to);
      if (moved == nullptr) return;
      for (int64_t c = 0; c < map_.c; ++c)
        moved[c] = static_cast<float>((1 - f_.momentum) * input_at(args, from)[c] +
                                      f_.momentum * now[c] / static_cast<double>(f_.splits));
    };
    move(f_.mean, f_.new_mean, means);
    move(f_.variance, f_.new_variance, variances);
  }

  void apply(const KernelArgs& args, int64_t part, const Affine& affine) const {
    const RealsIn x = args.inputs[static_cast<size_t>(f_.x)];
    const RealsOut y = f_.y < 0 ? RealsOut() : args.outputs[static_cast<size_t>(f_.y)];
    const int64_t first = part * elements();
    if (f_.pool) {
      const int64_t place = part * f_.pool->y.pixels() * map_.c;
      TensorView index = f_.index < 0 ? TensorView{} : args.outputs[static_cast<size_t>(f_.index)];
      if (index.data) index.data = index_at(index, place).data;
      if (y || index.data)
        max_pool(*f_.pool, {x.from(first), y.from(place), index}, affine, pool_runs_, args,
                 threads_);
    } else if (y) {
      // What is added after the first is added to a tile that was just written.
      const bool stream = runs_.in_place() && f_.plus.size() <= 1 &&
                          elements() * int64_t{sizeof(float)} > kStreamBytes;
      space_.for_each(threads_, [&](int thread, int64_t pixel, int64_t count) {
        const int64_t at = first + pixel * map_.c, size = count * map_.c;
        const auto plus = [&](size_t k) {
          const RealsIn other = args.inputs[static_cast<size_t>(f_.plus[k])];
          return other.at(at, size, runs_.of(args, thread, 2));
        };
        float* to = y.at(at, runs_.of(args, thread, 1));
        apply_affine(x.at(at, size, runs_.of(args, thread, 0)), f_.plus.empty() ? nullptr : plus(0),
                     to, count, map_.c, affine, stream);
        for (size_t k = 1; k < f_.plus.size(); ++k) add(to, plus(k), to, size);
        y.put(at, size, to);
      });
    }
  }

  Forward f_;
  Map map_;  // of a part
  TileSpace space_;
  Partials partials_;
  int threads_;
  ScratchPlan scratch_;
  PerChannel<float, 3> parameters_;
  PerChannel<double, 2> moments_;
  PerChannel<Moments::Total, 1> totals_;
  int64_t partials_at_ = 0;
  Runs runs_, pool_runs_;
};

}  // namespace expgraph::onednn
