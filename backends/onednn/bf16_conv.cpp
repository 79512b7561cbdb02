// bf16_conv: convolutions over maps of bf16 as products of blocks: 32 windows of a grid are the
// rows of a matrix as they lie. Places of the grid that are no window are computed too, and
// dropped.
#include "backends/onednn/bf16_conv.h"

#include <cstring>
#include <vector>

#include "backends/onednn/bf16.h"
#include "backends/onednn/bf16_grid.h"
#include "backends/onednn/parallel.h"

namespace expgraph::onednn {

namespace {

constexpr int64_t kSide = BlockProduct::kSide, kDepth = BlockProduct::kDepth;

int64_t round_up(int64_t count, int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

template <typename T, typename Byte>
T* in_scratch(Byte* scratch, int64_t at) {
  return reinterpret_cast<T*>(scratch + at);
}

constexpr int64_t bytes_of(int64_t count, size_t element) {
  return count * static_cast<int64_t>(element);
}

/// Outputs of one kind: the places of the kernel that reach them.
struct Phase {
  struct Tap {
    int64_t row, column;  ///< of the window
    int64_t weight;       ///< place in the kernel
  };
  GridOutputs outputs;
  std::vector<Tap> taps;
};

/// What a convolution, or the gradient of its input, does: windows over a map, of whose places
/// each phase of the outputs reads some.
struct Scheme {
  GridWindow window;
  int64_t rows = 0, columns = 0;  ///< windows of an image
  std::vector<Phase> phases;
};

Scheme forward_scheme(const ConvShape& shape) {
  const int64_t rows = shape.w.shape[2], columns = shape.w.shape[3];
  Scheme scheme;
  scheme.window = {rows,           columns, shape.padding[0], shape.padding[1], shape.stride[0],
                   shape.stride[1]};
  const Map y(shape.y);
  scheme.rows = y.h;
  scheme.columns = y.w;
  Phase& all = scheme.phases.emplace_back();
  all.outputs.map = y;
  for (int64_t k = 0; k < rows * columns; ++k) all.taps.push_back({k / columns, k % columns, k});
  return scheme;
}

/// Places k of a side of the kernel that reach pixels at `phase` modulo the stride, and how many
/// outputs they are away: pixel p gets w[k] * dy[(p + padding - k) / stride].
struct Reach {
  int64_t place, away;
};
std::vector<Reach> reaching(int64_t phase, int64_t side, int64_t padding, int64_t stride) {
  std::vector<Reach> result;
  for (int64_t k = 0; k < side; ++k)
    if ((phase + padding - k) % stride == 0) result.push_back({k, (phase + padding - k) / stride});
  return result;
}

/// The pixels of dx at each combination of a row and a column modulo the stride are sums over
/// windows of dy.
Scheme backward_scheme(const ConvShape& shape) {
  const int64_t sh = shape.stride[0], sw = shape.stride[1];
  Scheme scheme;
  const Map x(shape.x);
  scheme.rows = (x.h + sh - 1) / sh;
  scheme.columns = (x.w + sw - 1) / sw;
  int64_t least_row = 0, most_row = 0, least_column = 0, most_column = 0;
  for (int64_t row = 0; row < sh; ++row)
    for (int64_t column = 0; column < sw; ++column) {
      Phase& phase = scheme.phases.emplace_back();
      phase.outputs = {x, row, column, sh, sw};
      for (const Reach& r : reaching(row, shape.w.shape[2], shape.padding[0], sh))
        for (const Reach& c : reaching(column, shape.w.shape[3], shape.padding[1], sw)) {
          phase.taps.push_back({r.away, c.away, r.place * shape.w.shape[3] + c.place});
          least_row = std::min(least_row, r.away);
          most_row = std::max(most_row, r.away);
          least_column = std::min(least_column, c.away);
          most_column = std::max(most_column, c.away);
        }
    }
  for (Phase& phase : scheme.phases)
    for (Phase::Tap& tap : phase.taps) {
      tap.row -= least_row;
      tap.column -= least_column;
    }
  scheme.window = {most_row - least_row + 1, most_column - least_column + 1, -least_row,
                   -least_column};
  return scheme;
}

/// y from x and w, or dx from dy and w.
class Forward {
 public:
  Forward(const ConvShape& shape, int threads, std::shared_ptr<Moments> moments)
      : moments_(std::move(moments)),
        backward_(shape.direction == ConvDirection::backward_data),
        in_(backward_ ? shape.y : shape.x),
        out_(backward_ ? shape.x : shape.y),
        weights_(shape.w.shape),
        scheme_(backward_ ? backward_scheme(shape) : forward_scheme(shape)),
        step_(round_up(in_.c, kDepth)),
        grid_(in_, scheme_.rows, scheme_.columns, scheme_.window, bytes_of(step_, sizeof(uint16_t)),
              kSlabBytes, threads),
        panels_((out_.c + kSide - 1) / kSide),
        threads_(threads) {
    for (const Phase& phase : scheme_.phases) {
      std::vector<int32_t>& distances = distances_.emplace_back();
      for (const Phase::Tap& tap : phase.taps)
        for (int64_t channel = 0; channel < step_; channel += kDepth)
          distances.push_back(
              static_cast<int32_t>(grid_.distance(tap.row, tap.column) * step_ + channel));
      packed_at_.push_back(scratch_.add(bytes_of(panels_ * panel(phase), sizeof(uint32_t))));
    }
    bias_at_ = scratch_.add(bytes_of(out_.c, sizeof(float)));
    ScratchPlan own;
    places_at_ = own.add(bytes_of(grid_.places() * step_, sizeof(uint16_t)));
    outputs_at_ = own.add(bytes_of(grid_.windows(), sizeof(int64_t)));
    sums_at_ = own.add(bytes_of(kSide * kSide, sizeof(float)));
    own_bytes_ = own.bytes();
    own_at_ = scratch_.add(own_bytes_ * threads);
  }
  int64_t scratch_bytes() const { return scratch_.bytes(); }

  void run(const uint16_t* in, const uint16_t* w, const uint16_t* bias, uint16_t* out,
           std::byte* scratch) {
    float* wide_bias = bias ? in_scratch<float>(scratch, bias_at_) : nullptr;
    if (bias) widen(bias, wide_bias, out_.c);
    parallel(threads_, panels_, 1, [&](int, int64_t begin, int64_t end) {
      for (size_t k = 0; k < scheme_.phases.size(); ++k) {
        const Phase& phase = scheme_.phases[k];
        uint32_t* packed = in_scratch<uint32_t>(scratch, packed_at_[k]);
        for (int64_t p = begin; p < end; ++p)
          pack_weights(phase, w, p * kSide, packed + p * panel(phase));
      }
    });
    if (moments_) moments_->clear();
    parallel(threads_, grid_.slabs(), 1, [&](int thread, int64_t begin, int64_t end) {
      const BlockUnit unit;
      for (int64_t slab = begin; slab < end; ++slab)
        run_slab(unit, slab, thread, slab == begin, in, wide_bias, out, scratch);
    });
  }

 private:
  static constexpr int64_t kSlabBytes = int64_t{1} << 19;

  /// Pairs of weights of one block of outputs.
  int64_t panel(const Phase& phase) const { return std::ssize(phase.taps) * (step_ / 2) * kSide; }

  /// Weights [M, C, R, S] -> a panel [taps, inputs / 2, outputs] of pairs of inputs, for the
  /// outputs from `first` on.
  void pack_weights(const Phase& phase, const uint16_t* w, int64_t first, uint32_t* panel) const {
    const int64_t outputs = std::min(kSide, out_.c - first);
    const int64_t apart = step_ / 2 * kSide;  // of taps
    if (outputs < kSide || in_.c < step_) std::fill_n(panel, this->panel(phase), 0u);
    const int64_t places = weights_[2] * weights_[3];
    const int64_t input_step = backward_ ? out_.c * places : places;
    const int64_t output_step = backward_ ? places : in_.c * places;
    for (int64_t input = 0; input < in_.c; input += 2, panel += kSide)
      for (int64_t k = 0; k < outputs; ++k) {
        const uint16_t* even = w + input * input_step + (first + k) * output_step;
        const uint16_t* odd = input + 1 < in_.c ? even + input_step : nullptr;
        uint32_t* to = panel + k;
        for (const Phase::Tap& tap : phase.taps) {
          *to = even[tap.weight] | (odd ? uint32_t{odd[tap.weight]} << 16 : 0u);
          to += apart;
        }
      }
  }

  /// `starts`: the thread's first.
  void run_slab(const BlockUnit& unit, int64_t slab, int thread, bool starts, const uint16_t* in,
                const float* bias, uint16_t* out, std::byte* scratch) {
    std::byte* own = scratch + own_at_ + thread * own_bytes_;
    uint16_t* places = in_scratch<uint16_t>(own, places_at_);
    int64_t* pixels = in_scratch<int64_t>(own, outputs_at_);
    float* sums = in_scratch<float>(own, sums_at_);
    grid_.copy_inputs(slab, in, places, step_);
    if (moments_ && starts) moments_->start(thread);
    for (size_t k = 0; k < scheme_.phases.size(); ++k) {
      const Phase& phase = scheme_.phases[k];
      const uint32_t* packed = in_scratch<const uint32_t>(scratch, packed_at_[k]);
      grid_.find_outputs(slab, phase.outputs, pixels);
      for (int64_t p = 0; p < panels_; ++p) {
        bool first_of_panel = starts;
        for (int64_t first = 0; first < grid_.windows(); first += kSide) {
          const Rows rows(pixels + first, out, out_.c, p * kSide);
          if (rows.count == 0) continue;
          unit.multiply({places + first * step_, step_, distances_[k].data(),
                         packed + p * panel(phase), kSide, kDepth / 2 * kSide,
                         std::ssize(distances_[k]), sums, kSide, false});
          put(rows, p, thread, first_of_panel, sums, bias);
          first_of_panel = false;
        }
      }
    }
  }

  /// Where the rows of a block go.
  struct Rows {
    Rows(const int64_t* pixels, uint16_t* out, int64_t channels, int64_t first) {
      for (int64_t i = 0; i < kSide; ++i) {
        to[i] = pixels[i] < 0 ? nullptr : out + pixels[i] * channels + first;
        count += pixels[i] >= 0;
      }
    }
    uint16_t* to[kSide];
    int64_t count = 0;
  };

  /// `starts`: this is the thread's first block of these outputs, so moments are about its first
  /// row.
  void put(const Rows& rows, int64_t panel, int thread, bool starts, const float* sums,
           const float* bias) {
    const int64_t channel = panel * kSide;
    BlockRows put{rows.to, kSide, std::min(kSide, out_.c - channel),
                  bias ? bias + channel : nullptr};
    if (moments_) {
      Moments::Part& part = moments_->part(thread);
      put.shift = part.shift.data() + channel;
      put.sum = part.sum.data() + channel;
      put.squares = part.squares.data() + channel;
      if (starts) {
        const auto row = std::ranges::find_if(rows.to, [](uint16_t* to) { return to != nullptr; });
        const float* from = sums + (row - rows.to) * kSide;
        for (int64_t c = 0; c < put.columns; ++c)
          part.shift[static_cast<size_t>(channel + c)] = from[c] + (bias ? bias[channel + c] : 0);
      }
      if (panel == 0) part.pixels += rows.count;
    }
    put_block(sums, put);
  }

  std::shared_ptr<Moments> moments_;
  bool backward_;
  Map in_, out_;
  Shape weights_;
  Scheme scheme_;
  int64_t step_;  // elements of a place of the grid
  Grid grid_;
  int64_t panels_;
  int threads_;
  std::vector<std::vector<int32_t>> distances_;  // of each step of each phase
  ScratchPlan scratch_;
  std::vector<int64_t> packed_at_;  // of each phase
  int64_t bias_at_ = 0, own_at_ = 0, own_bytes_ = 0;
  int64_t places_at_ = 0, outputs_at_ = 0, sums_at_ = 0;
};

/// dw from dy and x: each thread sums over its slabs, then all are added in the order of the
/// threads. Rows of the products are inputs, columns are outputs, places are summed over.
class WeightsGradient {
 public:
  WeightsGradient(const ConvShape& shape, int threads)
      : x_(shape.x),
        y_(shape.y),
        scheme_(forward_scheme(shape)),
        x_step_(round_up(x_.c, kSide)),
        y_step_(round_up(y_.c, kSide)),
        grid_(x_, y_.h, y_.w, scheme_.window, bytes_of(x_step_ + y_step_, sizeof(uint16_t)),
              kSlabBytes, threads),
        // Rows a power of two apart would meet in the same few sets of the cache.
        row_(grid_.places() + kDepth),
        threads_(threads) {
    for (int64_t place = 0; place < grid_.windows(); place += kDepth)
      steps_.push_back(static_cast<int32_t>(place));
    ScratchPlan own;
    places_at_ = own.add(
        bytes_of(std::max(grid_.places() * x_step_, grid_.windows() * y_step_), sizeof(uint16_t)));
    pairs_at_ = own.add(bytes_of(kDepth / 2 * x_step_, sizeof(uint32_t)));
    x_at_ = own.add(bytes_of(row_ * x_step_, sizeof(uint16_t)));
    y_at_ = own.add(bytes_of(grid_.windows() * y_step_, sizeof(uint16_t)));
    sums_at_ = own.add(bytes_of(taps() * plane(), sizeof(float)));
    own_bytes_ = own.bytes();
    scratch_bytes_ = own_bytes_ * threads;
  }
  int64_t scratch_bytes() const { return scratch_bytes_; }

  void run(const uint16_t* dy, const uint16_t* x, uint16_t* dw, std::byte* scratch) {
    parallel(threads_, grid_.slabs(), 1, [&](int thread, int64_t begin, int64_t end) {
      const BlockUnit unit;
      for (int64_t slab = begin; slab < end; ++slab)
        run_slab(unit, slab, slab == begin, dy, x, scratch + thread * own_bytes_);
    });
    const auto parts = static_cast<int>(std::min<int64_t>(threads_, grid_.slabs()));
    parallel(threads_, x_.c, 1, [&](int, int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) put_input(c, parts, scratch, dw);
    });
  }

 private:
  static constexpr int64_t kSlabBytes = int64_t{1} << 20;

  const std::vector<Phase::Tap>& all_taps() const { return scheme_.phases[0].taps; }
  int64_t taps() const { return std::ssize(all_taps()); }
  int64_t plane() const { return x_step_ * y_step_; }

  void run_slab(const BlockUnit& unit, int64_t slab, bool starts, const uint16_t* dy,
                const uint16_t* x, std::byte* own) {
    uint16_t* places = in_scratch<uint16_t>(own, places_at_);
    uint32_t* pairs = in_scratch<uint32_t>(own, pairs_at_);
    uint32_t* columns = in_scratch<uint32_t>(own, x_at_);
    uint32_t* gradients = in_scratch<uint32_t>(own, y_at_);
    float* sums = in_scratch<float>(own, sums_at_);
    grid_.copy_inputs(slab, x, places, x_step_);
    for (int64_t place = 0; place < grid_.places(); place += kDepth) {
      interleave_rows(places + place * x_step_, kDepth / 2, x_step_, pairs);
      transpose(pairs, kDepth / 2, x_step_, columns + place / 2, row_ / 2);
    }
    grid_.copy_outputs(slab, y_, dy, places, y_step_);
    interleave_rows(places, grid_.windows() / 2, y_step_, gradients);
    const auto* rows = reinterpret_cast<const uint16_t*>(columns);
    for (int64_t c = 0; c < x_step_; c += kSide)
      for (int64_t m = 0; m < y_step_; m += kSide)
        for (const Phase::Tap& tap : all_taps())
          unit.multiply({rows + c * row_ + grid_.distance(tap.row, tap.column), row_, steps_.data(),
                         gradients + m, y_step_, kDepth / 2 * y_step_, std::ssize(steps_),
                         sums + tap.weight * plane() + c * y_step_ + m, y_step_, !starts});
  }

  /// The gradients [M, R, S] of the weights of one input.
  void put_input(int64_t c, int parts, const std::byte* scratch, uint16_t* dw) const {
    const int64_t places = taps();
    std::vector<float> all(static_cast<size_t>(kSide * places));
    for (int64_t first = 0; first < y_.c; first += kSide) {
      const int64_t outputs = std::min(kSide, y_.c - first);
      for (int64_t place = 0; place < places; ++place) {
        const int64_t at = place * plane() + c * y_step_ + first;
        for (int64_t m = 0; m < outputs; ++m) {
          float sum = 0;
          for (int part = 0; part < parts; ++part)
            sum += in_scratch<const float>(scratch + part * own_bytes_, sums_at_)[at + m];
          all[static_cast<size_t>(m * places + place)] = sum;
        }
      }
      for (int64_t m = 0; m < outputs; ++m)
        narrow(all.data() + m * places, dw + ((first + m) * x_.c + c) * places, places);
    }
  }

  Map x_, y_;
  Scheme scheme_;
  int64_t x_step_, y_step_;  // elements of a place of the grid
  Grid grid_;
  int64_t row_;  // places from one input to the next
  int threads_;
  std::vector<int32_t> steps_;  // the first place of each
  int64_t places_at_ = 0, pairs_at_ = 0, x_at_ = 0, y_at_ = 0, sums_at_ = 0, own_bytes_ = 0;
  int64_t scratch_bytes_ = 0;
};

}  // namespace

Kernel bf16_conv_kernel(const ConvShape& shape, bool bias, int threads,
                        std::shared_ptr<Moments> moments) {
  if (shape.direction == ConvDirection::backward_weights) {
    const auto gradient = std::make_shared<WeightsGradient>(shape, threads);
    return {[gradient](const KernelArgs& args) {
              gradient->run(args.inputs[0].as<uint16_t>(), args.inputs[1].as<uint16_t>(),
                            args.outputs[0].as<uint16_t>(), args.scratch);
            },
            gradient->scratch_bytes()};
  }
  const auto forward = std::make_shared<Forward>(shape, threads, std::move(moments));
  return {[forward, bias](const KernelArgs& args) {
            forward->run(args.inputs[0].as<uint16_t>(), args.inputs[1].as<uint16_t>(),
                         bias ? args.inputs[2].as<uint16_t>() : nullptr,
                         args.outputs[0].as<uint16_t>(), args.scratch);
          },
          forward->scratch_bytes()};
}

}  // namespace expgraph::onednn
