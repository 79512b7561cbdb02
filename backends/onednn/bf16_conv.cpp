// bf16_conv: convolutions of stride 1 over maps of bf16. Some rows of the map, or some images, are
// copied into a grid whose rows share their padding: (row, column) of a window then is a fixed
// distance from its first place, wherever the window is, and 32 windows after each other are rows
// of a matrix as they lie. Places of the grid that are no window are computed too, and dropped.
#include "backends/onednn/bf16_conv.h"

#include <cstring>
#include <vector>

#include "backends/onednn/bf16.h"
#include "backends/onednn/parallel.h"

namespace expgraph::onednn {

namespace {

constexpr int64_t kSide = BlockProduct::kSide, kDepth = BlockProduct::kDepth;

int64_t round_up(int64_t count, int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

/// Windows of `rows` x `columns` over a map, a pixel apart.
struct Window {
  int64_t rows, columns, pad_row, pad_column;
  int64_t places() const { return rows * columns; }
};

/// A map of inputs and one of outputs, cut into slabs: some whole images, or some rows of one.
class Slabs {
 public:
  /// `place_bytes`: what one place of the grid takes, in all; a slab takes about `bytes`.
  Slabs(const Map& in, const Map& out, const Window& window, int64_t place_bytes, int64_t bytes,
        int threads)
      : in_(in), out_(out), window_(window), width_(in.w + window.pad_column) {
    image_rows_ = in.h + window.pad_row;  // images share the padding between them
    const int64_t row_bytes = width_ * place_bytes;
    const int64_t fits = bytes / (image_rows_ * row_bytes);
    if (fits > 0) {
      const int64_t share = (in.n + threads - 1) / threads;
      const int64_t parts = (share + fits - 1) / fits;
      images_ = (share + parts - 1) / parts;
      rows_ = images_ * image_rows_;
      count_ = (in.n + images_ - 1) / images_;
    } else {
      rows_ = std::clamp<int64_t>(bytes / row_bytes, 1, out.h);
      bands_ = (out.h + rows_ - 1) / rows_;
      count_ = in.n * bands_;
    }
  }

  int64_t count() const { return count_; }
  int64_t width() const { return width_; }
  /// Places where a window may begin, in whole blocks.
  int64_t windows() const { return round_up(rows_ * width_, kSide); }
  /// Places that windows reach.
  int64_t places() const {
    return round_up(windows() + (window_.rows - 1) * width_ + window_.columns, kDepth);
  }
  /// From a window's first place to (row, column) of it.
  int64_t distance(int64_t row, int64_t column) const { return row * width_ + column; }

  /// Copies the inputs of a slab; a place is `step` elements. All else is zero.
  void copy_inputs(int64_t slab, const uint16_t* map, uint16_t* grid, int64_t step) const {
    const int64_t rows = rows_ + window_.rows - 1;
    for (int64_t row = 0; row < rows; ++row, grid += width_ * step) {
      const uint16_t* from = input_row(slab, row, map);
      copy_row(from, in_, grid + window_.pad_column * step, step, in_.w);
      std::fill_n(grid, (from ? window_.pad_column : width_) * step, uint16_t{0});
    }
    std::fill_n(grid, (places() - rows * width_) * step, uint16_t{0});
  }

  /// The same of outputs, each at the place where its window begins.
  void copy_outputs(int64_t slab, const uint16_t* map, uint16_t* grid, int64_t step) const {
    for (int64_t row = 0; row < rows_; ++row, grid += width_ * step) {
      const int64_t pixel = output_row(slab, row);
      const int64_t taken = pixel < 0 ? 0 : out_.w;
      if (pixel >= 0) copy_row(map + pixel * out_.c, out_, grid, step, out_.w);
      std::fill_n(grid + taken * step, (width_ - taken) * step, uint16_t{0});
    }
    std::fill_n(grid, (windows() - rows_ * width_) * step, uint16_t{0});
  }

  /// The pixel of the output of each window; -1 where a place is none.
  void find_outputs(int64_t slab, int64_t* pixels) const {
    for (int64_t row = 0; row < rows_; ++row, pixels += width_) {
      const int64_t first = output_row(slab, row);
      for (int64_t column = 0; column < width_; ++column)
        pixels[column] = first < 0 || column >= out_.w ? -1 : first + column;
    }
    std::fill_n(pixels, windows() - rows_ * width_, int64_t{-1});
  }

 private:
  static void copy_row(const uint16_t* from, const Map& map, uint16_t* to, int64_t step,
                       int64_t pixels) {
    if (from == nullptr) return;
    if (step == map.c) {
      std::copy_n(from, pixels * step, to);
      return;
    }
    for (int64_t i = 0; i < pixels; ++i, from += map.c, to += step) {
      std::copy_n(from, map.c, to);
      std::fill_n(to + map.c, step - map.c, uint16_t{0});
    }
  }

  /// The first pixel of the input's row that lies in a row of the grid; null for padding.
  const uint16_t* input_row(int64_t slab, int64_t row, const uint16_t* map) const {
    int64_t image = slab / bands_, y = slab % bands_ * rows_ + row - window_.pad_row;
    if (images_ > 0) {
      const int64_t below = row - window_.pad_row;
      image = slab * images_ + below / image_rows_;
      y = below % image_rows_;
      if (below < 0 || below / image_rows_ >= images_) return nullptr;
    }
    if (y < 0 || y >= in_.h || image >= in_.n) return nullptr;
    return map + (image * in_.h + y) * in_.w * in_.c;
  }

  /// The first pixel of the output's row; -1 for a row that has none.
  int64_t output_row(int64_t slab, int64_t row) const {
    int64_t image = slab / bands_, y = slab % bands_ * rows_ + row;
    if (images_ > 0) {
      image = slab * images_ + row / image_rows_;
      y = row % image_rows_;
    }
    return y >= out_.h || image >= out_.n ? -1 : (image * out_.h + y) * out_.w;
  }

  Map in_, out_;
  Window window_;
  int64_t width_, image_rows_, images_ = 0, rows_ = 0, bands_ = 1, count_ = 0;
};

template <typename T, typename Byte>
T* in_scratch(Byte* scratch, int64_t at) {
  return reinterpret_cast<T*>(scratch + at);
}

constexpr int64_t bytes_of(int64_t count, size_t element) {
  return count * static_cast<int64_t>(element);
}

/// y = x convolved with w; or dx from dy, which is the same with w turned over.
class Forward {
 public:
  Forward(const ConvShape& shape, int threads, std::shared_ptr<Moments> moments)
      : moments_(std::move(moments)),
        backward_(shape.direction == ConvDirection::backward_data),
        in_(backward_ ? shape.y : shape.x),
        out_(backward_ ? shape.x : shape.y),
        window_(window_of(shape, backward_)),
        step_(round_up(in_.c, kDepth)),
        slabs_(in_, out_, window_, bytes_of(step_, sizeof(uint16_t)), kSlabBytes, threads),
        steps_(window_.places() * (step_ / kDepth)),
        panels_((out_.c + kSide - 1) / kSide),
        threads_(threads) {
    for (int64_t row = 0; row < window_.rows; ++row)
      for (int64_t column = 0; column < window_.columns; ++column)
        for (int64_t channel = 0; channel < step_; channel += kDepth)
          distances_.push_back(
              static_cast<int32_t>(slabs_.distance(row, column) * step_ + channel));
    weights_at_ = scratch_.add(bytes_of(panels_ * panel(), sizeof(uint32_t)));
    bias_at_ = scratch_.add(bytes_of(out_.c, sizeof(float)));
    ScratchPlan own;
    grid_at_ = own.add(bytes_of(slabs_.places() * step_, sizeof(uint16_t)));
    outputs_at_ = own.add(bytes_of(slabs_.windows(), sizeof(int64_t)));
    sums_at_ = own.add(bytes_of(kSide * kSide, sizeof(float)));
    own_bytes_ = own.bytes();
    own_at_ = scratch_.add(own_bytes_ * threads);
  }
  int64_t scratch_bytes() const { return scratch_.bytes(); }

  void run(const uint16_t* in, const uint16_t* w, const uint16_t* bias, uint16_t* out,
           std::byte* scratch) {
    uint32_t* weights = in_scratch<uint32_t>(scratch, weights_at_);
    float* wide_bias = bias ? in_scratch<float>(scratch, bias_at_) : nullptr;
    if (bias) widen(bias, wide_bias, out_.c);
    parallel(threads_, panels_, 1, [&](int, int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) pack_weights(w, k * kSide, weights + k * panel());
    });
    if (moments_) moments_->clear();
    parallel(threads_, slabs_.count(), 1, [&](int thread, int64_t begin, int64_t end) {
      const BlockUnit unit;
      for (int64_t slab = begin; slab < end; ++slab)
        run_slab(unit, slab, thread, slab == begin, in, weights, wide_bias, out, scratch);
    });
  }

 private:
  static constexpr int64_t kSlabBytes = int64_t{1} << 19;

  static Window window_of(const ConvShape& shape, bool backward) {
    const int64_t rows = shape.w.shape[2], columns = shape.w.shape[3];
    if (!backward) return {rows, columns, shape.padding[0], shape.padding[1]};
    return {rows, columns, rows - 1 - shape.padding[0], columns - 1 - shape.padding[1]};
  }

  /// Pairs of weights of one block of outputs.
  int64_t panel() const { return steps_ * (kDepth / 2) * kSide; }

  /// Weights [M, C, R, S] -> a panel [R, S, inputs / 2, outputs] of pairs of inputs, for the
  /// outputs from `first` on.
  void pack_weights(const uint16_t* w, int64_t first, uint32_t* panel) const {
    const int64_t places = window_.places(), outputs = std::min(kSide, out_.c - first);
    const int64_t apart = step_ / 2 * kSide;  // of places
    if (outputs < kSide || in_.c < step_) std::fill_n(panel, this->panel(), 0u);
    const int64_t input_step = backward_ ? out_.c * places : places;
    const int64_t output_step = backward_ ? places : in_.c * places;
    const int64_t last = backward_ ? places - 1 : 0, turn = backward_ ? -1 : 1;
    for (int64_t input = 0; input < in_.c; input += 2, panel += kSide)
      for (int64_t k = 0; k < outputs; ++k) {
        const uint16_t* even = w + input * input_step + (first + k) * output_step + last;
        const uint16_t* odd = input + 1 < in_.c ? even + input_step : nullptr;
        for (int64_t place = 0; place < places; ++place)
          panel[place * apart + k] =
              even[turn * place] | (odd ? uint32_t{odd[turn * place]} << 16 : 0u);
      }
  }

  /// `starts`: the thread's first.
  void run_slab(const BlockUnit& unit, int64_t slab, int thread, bool starts, const uint16_t* in,
                const uint32_t* weights, const float* bias, uint16_t* out, std::byte* scratch) {
    std::byte* own = scratch + own_at_ + thread * own_bytes_;
    uint16_t* grid = in_scratch<uint16_t>(own, grid_at_);
    int64_t* pixels = in_scratch<int64_t>(own, outputs_at_);
    float* sums = in_scratch<float>(own, sums_at_);
    slabs_.copy_inputs(slab, in, grid, step_);
    slabs_.find_outputs(slab, pixels);
    if (moments_ && starts) moments_->start(thread);
    for (int64_t k = 0; k < panels_; ++k) {
      bool first_of_panel = starts;
      for (int64_t first = 0; first < slabs_.windows(); first += kSide) {
        const Rows rows(pixels + first, out, out_.c, k * kSide);
        if (rows.count == 0) continue;
        unit.multiply({grid + first * step_, step_, distances_.data(), weights + k * panel(), kSide,
                       kDepth / 2 * kSide, steps_, sums, kSide, false});
        put(rows, k, thread, first_of_panel, sums, bias);
        first_of_panel = false;
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
  Window window_;
  int64_t step_;  // elements of a place of the grid
  Slabs slabs_;
  int64_t steps_, panels_;
  int threads_;
  std::vector<int32_t> distances_;  // of each step
  ScratchPlan scratch_;
  int64_t weights_at_ = 0, bias_at_ = 0, own_at_ = 0, own_bytes_ = 0;
  int64_t grid_at_ = 0, outputs_at_ = 0, sums_at_ = 0;
};

/// dw from dy and x: each thread sums over its slabs, then all are added in the order of the
/// threads. Rows of the products are inputs, columns are outputs, places are summed over.
class WeightsGradient {
 public:
  WeightsGradient(const ConvShape& shape, int threads)
      : x_(shape.x),
        y_(shape.y),
        window_{shape.w.shape[2], shape.w.shape[3], shape.padding[0], shape.padding[1]},
        x_step_(round_up(x_.c, kSide)),
        y_step_(round_up(y_.c, kSide)),
        slabs_(x_, y_, window_, bytes_of(x_step_ + y_step_, sizeof(uint16_t)), kSlabBytes, threads),
        // Rows a power of two apart would meet in the same few sets of the cache.
        row_(slabs_.places() + kDepth),
        threads_(threads) {
    for (int64_t place = 0; place < slabs_.windows(); place += kDepth)
      places_.push_back(static_cast<int32_t>(place));
    ScratchPlan own;
    grid_at_ = own.add(bytes_of(std::max(slabs_.places() * x_step_, slabs_.windows() * y_step_),
                                sizeof(uint16_t)));
    pairs_at_ = own.add(bytes_of(kDepth / 2 * x_step_, sizeof(uint32_t)));
    x_at_ = own.add(bytes_of(row_ * x_step_, sizeof(uint16_t)));
    y_at_ = own.add(bytes_of(slabs_.windows() * y_step_, sizeof(uint16_t)));
    sums_at_ = own.add(bytes_of(window_.places() * plane(), sizeof(float)));
    own_bytes_ = own.bytes();
    scratch_bytes_ = own_bytes_ * threads;
  }
  int64_t scratch_bytes() const { return scratch_bytes_; }

  void run(const uint16_t* dy, const uint16_t* x, uint16_t* dw, std::byte* scratch) {
    parallel(threads_, slabs_.count(), 1, [&](int thread, int64_t begin, int64_t end) {
      const BlockUnit unit;
      for (int64_t slab = begin; slab < end; ++slab)
        run_slab(unit, slab, slab == begin, dy, x, scratch + thread * own_bytes_);
    });
    const auto parts = static_cast<int>(std::min<int64_t>(threads_, slabs_.count()));
    parallel(threads_, x_.c, 1, [&](int, int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) put_input(c, parts, scratch, dw);
    });
  }

 private:
  static constexpr int64_t kSlabBytes = int64_t{1} << 20;

  int64_t plane() const { return x_step_ * y_step_; }

  void run_slab(const BlockUnit& unit, int64_t slab, bool starts, const uint16_t* dy,
                const uint16_t* x, std::byte* own) {
    uint16_t* grid = in_scratch<uint16_t>(own, grid_at_);
    uint32_t* pairs = in_scratch<uint32_t>(own, pairs_at_);
    uint32_t* columns = in_scratch<uint32_t>(own, x_at_);
    uint32_t* gradients = in_scratch<uint32_t>(own, y_at_);
    float* sums = in_scratch<float>(own, sums_at_);
    slabs_.copy_inputs(slab, x, grid, x_step_);
    for (int64_t place = 0; place < slabs_.places(); place += kDepth) {
      interleave_rows(grid + place * x_step_, kDepth / 2, x_step_, pairs);
      transpose(pairs, kDepth / 2, x_step_, columns + place / 2, row_ / 2);
    }
    slabs_.copy_outputs(slab, dy, grid, y_step_);
    interleave_rows(grid, slabs_.windows() / 2, y_step_, gradients);
    const auto* rows = reinterpret_cast<const uint16_t*>(columns);
    for (int64_t c = 0; c < x_step_; c += kSide)
      for (int64_t m = 0; m < y_step_; m += kSide)
        for (int64_t place = 0; place < window_.places(); ++place) {
          const int64_t away = slabs_.distance(place / window_.columns, place % window_.columns);
          unit.multiply({rows + c * row_ + away, row_, places_.data(), gradients + m, y_step_,
                         kDepth / 2 * y_step_, static_cast<int64_t>(places_.size()),
                         sums + place * plane() + c * y_step_ + m, y_step_, !starts});
        }
  }

  /// The gradients [M, R, S] of the weights of one input.
  void put_input(int64_t c, int parts, const std::byte* scratch, uint16_t* dw) const {
    const int64_t places = window_.places();
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
  Window window_;
  int64_t x_step_, y_step_;  // elements of a place of the grids
  Slabs slabs_;
  int64_t row_;  // places from one input to the next
  int threads_;
  std::vector<int32_t> places_;  // of each step
  int64_t grid_at_ = 0, pairs_at_ = 0, x_at_ = 0, y_at_ = 0, sums_at_ = 0, own_bytes_ = 0;
  int64_t scratch_bytes_ = 0;
};

}  // namespace

bool has_bf16_conv(const ConvShape& shape) {
  return multiplies_blocks() && shape.stride == Shape{1, 1} &&
         shape.padding[0] < shape.w.shape[2] && shape.padding[1] < shape.w.shape[3];
}

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
