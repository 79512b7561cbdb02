// winograd: 3x3 convolutions of stride 1 by F(2x2, 3x3) or F(4x4, 3x3). Maps go through in chunks
// of tiles whose transforms stay in the cache of a core; the products are oneDNN's, one thread
// each.
#include "backends/onednn/winograd.h"

#include <omp.h>

#include <bit>
#include <cmath>
#include <vector>

#include "backends/onednn/dnnl.h"
#include "backends/onednn/parallel.h"
#include "backends/onednn/vector_winograd.h"

namespace expgraph::onednn {

namespace {

using dnnl::memory;

memory::desc matrix(int64_t rows, int64_t columns, memory::format_tag tag) {
  return {{rows, columns}, memory::data_type::f32, tag};
}

/// Elements from one matrix to the next: a line more than it takes, as matrices that are a power of
/// two apart meet in the same few sets of the cache.
int64_t apart(int64_t elements) {
  constexpr int64_t kLine = 16;
  return elements + kLine;
}

/// The tiles of a map of outputs, in chunks.
struct Tiles {
  /// Chunks of tiles for products of `inputs` x `outputs` matrices: their transforms fit the
  /// second-level cache, unless that is too few for a product to be efficient; and as many chunks
  /// for one thread as for another.
  Tiles(WinogradTile tile, const Map& map, int64_t inputs, int64_t outputs, int threads)
      : side(outputs_of(tile)),
        places(places_of(tile)),
        rows((map.h + side - 1) / side),
        columns((map.w + side - 1) / side),
        count(map.n * rows * columns) {
    constexpr int64_t kCacheBytes = 3 << 19, kLeast = 96;
    const int64_t fits = kCacheBytes / (places * (inputs + outputs) * int64_t{sizeof(float)});
    const int64_t most = std::max(fits, kLeast);
    const int64_t share = (count + threads - 1) / threads;
    const int64_t parts = (share + most - 1) / most;
    chunk = ((share + parts - 1) / parts + 15) / 16 * 16;
    chunks = (count + chunk - 1) / chunk;
  }
  struct At {
    int64_t image, row, column;  ///< of the tile's first output
  };
  At at(int64_t tile) const {
    const int64_t in_image = tile % (rows * columns);
    return {tile / (rows * columns), in_image / columns * side, in_image % columns * side};
  }
  /// Elements from one place of a chunk's transforms to the next.
  int64_t step(int64_t channels) const { return apart(chunk * channels); }

  int64_t side, places, rows, columns, count, chunk = 0, chunks = 0;
};

/// The square of `side` pixels from (row, column), which may lie outside, of an image.
template <typename T>
PatchOf<T> patch(T* data, const Map& map, int64_t image, int64_t row, int64_t column, int side) {
  PatchOf<T> result;
  result.row = map.w * map.c;
  result.corner = data + (image * map.h + row) * result.row + column * map.c;
  for (int r = 0; r < side; ++r)
    for (int c = 0; c < side; ++c)
      if (row + r >= 0 && row + r < map.h && column + c >= 0 && column + c < map.w)
        result.inside |= uint64_t{1} << (r * side + c);
  return result;
}

/// One product of matrices on the calling thread, for each of several threads.
class Product {
 public:
  Product(const memory::desc& a, const memory::desc& b, const memory::desc& c, bool add,
          int threads) {
    dnnl::primitive_attr options = primitive_options();
    if (add) {
      dnnl::post_ops sum;
      sum.append_sum(1.0f);
      options.set_post_ops(sum);
    }
    const int before = omp_get_max_threads();
    omp_set_num_threads(1);  // a primitive divides its work for the threads it is made under
    const dnnl::matmul::primitive_desc description(cpu_engine(), a, b, c, options);
    const dnnl::matmul product(description);
    omp_set_num_threads(before);
    weights = description.weights_desc();
    scratch_bytes = static_cast<int64_t>(description.scratchpad_desc().get_size());
    for (int thread = 0; thread < threads; ++thread) {
      Call& call = calls_.emplace_back(product);
      call.argument(DNNL_ARG_SRC, description.src_desc());
      call.argument(DNNL_ARG_WEIGHTS, description.weights_desc());
      call.argument(DNNL_ARG_DST, description.dst_desc());
      call.argument(DNNL_ARG_SCRATCHPAD, description.scratchpad_desc());
    }
  }
  void run(int thread, const void* a, const void* b, void* c, std::byte* scratch) {
    Call& call = calls_[static_cast<size_t>(thread)];
    call.bind(DNNL_ARG_SRC, a);
    call.bind(DNNL_ARG_WEIGHTS, b);
    call.bind(DNNL_ARG_DST, c);
    call.bind(DNNL_ARG_SCRATCHPAD, scratch);
    call.run();
  }

  memory::desc weights;
  int64_t scratch_bytes = 0;

 private:
  std::vector<Call> calls_;
};

/// Weights [M, C, 3, 3] as nine matrices `step` apart, one a place of the kernel: [C, M], or [M, C]
/// where the outputs come first.
memory::desc kernel_planes(const TensorType& w, bool outputs_first, int64_t step) {
  const int64_t m = w.shape[0], c = w.shape[1];
  const memory::dims strides =
      outputs_first ? memory::dims{c, 1, 3 * step, step} : memory::dims{1, m, 3 * step, step};
  return {{m, c, 3, 3}, memory::data_type::f32, strides};
}

/// y = x convolved with w; or dx from dy, which is the same with w flipped and turned over.
class Forward {
 public:
  Forward(const ConvShape& shape, WinogradTile tile, int threads, std::shared_ptr<Moments> moments,
          std::optional<Map> windows = {})
      : tile_(tile),
        moments_(std::move(moments)),
        windows_(windows),
        backward_(shape.direction == ConvDirection::backward_data),
        in_(backward_ ? shape.y : shape.x),
        out_(backward_ ? shape.x : shape.y),
        pad_row_(backward_ ? 2 - shape.padding[0] : shape.padding[0]),
        pad_column_(backward_ ? 2 - shape.padding[1] : shape.padding[1]),
        tiles_(tile, out_, in_.c, out_.c, threads),
        u_step_(apart(in_.c * out_.c)),
        threads_(threads),
        product_(matrix(tiles_.chunk, in_.c, memory::format_tag::ab),
                 matrix(in_.c, out_.c, memory::format_tag::ab),
                 matrix(tiles_.chunk, out_.c, memory::format_tag::ab), false, threads),
        planes_(describe(shape.w, Layout::dense),
                kernel_planes(shape.w, backward_, in_.c * out_.c)) {
    const auto floats = [](int64_t count) { return count * int64_t{sizeof(float)}; };
    u_at_ = scratch_.add(floats(tiles_.places * u_step_));
    planes_at_ = scratch_.add(floats(9 * in_.c * out_.c));
    reorder_at_ = scratch_.add(planes_.scratch_bytes());
    ScratchPlan own;
    inputs_at_ = own.add(floats(tiles_.places * tiles_.step(in_.c)));
    outputs_at_ = own.add(floats(tiles_.places * tiles_.step(out_.c)));
    product_at_ = own.add(product_.scratch_bytes);
    own_bytes_ = own.bytes();
    own_at_ = scratch_.add(own_bytes_ * threads);
  }
  int64_t scratch_bytes() const { return scratch_.bytes(); }

  /// `out`: of windows where there are some, with `index`, which may be null.
  void run(const float* in, const float* w, const float* bias, float* out, uint8_t* index,
           std::byte* scratch) {
    transform_weights(w, scratch);
    if (moments_) moments_->clear();
    parallel(threads_, tiles_.chunks, 1, [&](int thread, int64_t begin, int64_t end) {
      bool starts = true;
      for (int64_t chunk = begin; chunk < end; ++chunk) {
        const int64_t first = chunk * tiles_.chunk;
        multiply_chunk(first, thread, in, scratch);
        if (windows_)
          put_windows(first, thread, starts, bias, out, index, scratch);
        else
          put_chunk(first, thread, starts, bias, out, scratch);
        starts = false;
      }
    });
  }

 private:
  void transform_weights(const float* w, std::byte* scratch) {
    float* planes = reinterpret_cast<float*>(scratch + planes_at_);
    float* u = reinterpret_cast<float*>(scratch + u_at_);
    const int64_t plane = in_.c * out_.c;
    planes_.run(w, planes, scratch + reorder_at_);
    parallel(threads_, plane, 1024, [&](int, int64_t begin, int64_t end) {
      winograd_weights(tile_, planes + begin, plane, backward_, end - begin, u + begin, u_step_);
    });
  }

  int64_t count_of(int64_t first) const { return std::min(tiles_.chunk, tiles_.count - first); }
  float* outputs_of_thread(int thread, std::byte* scratch) const {
    return reinterpret_cast<float*>(scratch + own_at_ + thread * own_bytes_ + outputs_at_);
  }

  void multiply_chunk(int64_t first, int thread, const float* in, std::byte* scratch) {
    std::byte* own = scratch + own_at_ + thread * own_bytes_;
    const float* u = reinterpret_cast<const float*>(scratch + u_at_);
    float* inputs = reinterpret_cast<float*>(own + inputs_at_);
    float* outputs = outputs_of_thread(thread, scratch);
    const int64_t in_step = tiles_.step(in_.c), out_step = tiles_.step(out_.c);
    const int64_t count = count_of(first);
    for (int64_t t = 0; t < count; ++t) {
      const Tiles::At at = tiles_.at(first + t);
      const auto from =
          patch(in, in_, at.image, at.row - pad_row_, at.column - pad_column_, inputs_of(tile_));
      winograd_input(tile_, from, in_.c, inputs + t * in_.c, in_step);
    }
    for (int64_t k = 0; k < tiles_.places; ++k) {
      std::fill(inputs + k * in_step + count * in_.c, inputs + k * in_step + tiles_.chunk * in_.c,
                0.0f);
      product_.run(thread, inputs + k * in_step, u + k * u_step_, outputs + k * out_step,
                   own + product_at_);
    }
  }

  TileSums sums_of(Moments::Part* part) const {
    if (part == nullptr) return {};
    return {part->shift.data(), part->sum.data(), part->squares.data()};
  }

  /// `starts`: the thread's first chunk.
  void put_chunk(int64_t first, int thread, bool starts, const float* bias, float* out,
                 std::byte* scratch) {
    const float* outputs = outputs_of_thread(thread, scratch);
    const auto put = [&](int64_t t, const TileSums& sums) {
      const Tiles::At at = tiles_.at(first + t);
      const auto to = patch(out, out_, at.image, at.row, at.column, outputs_of(tile_));
      winograd_output(tile_, outputs + t * out_.c, tiles_.step(out_.c), out_.c, bias, to, sums);
      return to;
    };
    Moments::Part* part = moments_ ? &moments_->part(thread) : nullptr;
    if (part && starts) moments_->start(thread, put(0, {}).corner);
    for (int64_t t = 0; t < count_of(first); ++t) {
      const auto to = put(t, sums_of(part));
      if (part) part->pixels += std::popcount(to.inside);
    }
  }

  /// The same, of windows.
  void put_windows(int64_t first, int thread, bool starts, const float* bias, float* out,
                   uint8_t* index, std::byte* scratch) {
    const float* outputs = outputs_of_thread(thread, scratch);
    const Map& map = *windows_;
    const int most = outputs_of(tile_) / 2;
    const auto put = [&](int64_t t, const TileSums& sums) {
      const Tiles::At at = tiles_.at(first + t);
      const int64_t row = at.row / 2, column = at.column / 2;
      const int64_t to = ((at.image * map.h + row) * map.w + column) * map.c;
      const TileWindows windows{out + to, index ? index + to : nullptr, map.w * map.c,
                                static_cast<int>(std::clamp<int64_t>(map.h - row, 0, most)),
                                static_cast<int>(std::clamp<int64_t>(map.w - column, 0, most))};
      winograd_pooled_output(tile_, outputs + t * out_.c, tiles_.step(out_.c), out_.c, bias,
                             windows, sums);
      return windows;
    };
    Moments::Part* part = moments_ ? &moments_->part(thread) : nullptr;
    if (part && starts) {
      // About a window of the first tile; at the border of a map it may have none.
      moments_->start(thread);
      const TileWindows windows = put(0, {});
      if (windows.rows * windows.columns > 0)
        std::copy_n(windows.y, map.c, part->shift.begin());
      else
        std::ranges::fill(part->shift, 0.0f);
    }
    for (int64_t t = 0; t < count_of(first); ++t) {
      const TileWindows windows = put(t, sums_of(part));
      if (part) part->pixels += windows.rows * windows.columns;
    }
  }

  WinogradTile tile_;
  std::shared_ptr<Moments> moments_;
  std::optional<Map> windows_;  // whose largest pixels are written in place of all
  bool backward_;
  Map in_, out_;
  int64_t pad_row_, pad_column_;
  Tiles tiles_;
  int64_t u_step_;
  int threads_;
  Product product_;
  Reorder planes_;
  ScratchPlan scratch_;
  int64_t u_at_ = 0, planes_at_ = 0, reorder_at_ = 0;
  int64_t inputs_at_ = 0, outputs_at_ = 0, product_at_ = 0, own_bytes_ = 0, own_at_ = 0;
};

/// dw from dy and x: each thread sums the transformed gradient over its chunks, then all are
/// added in the order of the threads.
class WeightsGradient {
 public:
  WeightsGradient(const ConvShape& shape, WinogradTile tile, int threads)
      : tile_(tile),
        x_(shape.x),
        y_(shape.y),
        pad_row_(shape.padding[0]),
        pad_column_(shape.padding[1]),
        tiles_(tile, y_, x_.c, y_.c, threads),
        sum_step_(apart(x_.c * y_.c)),
        threads_(threads),
        product_(matrix(x_.c, tiles_.chunk, memory::format_tag::ba),
                 matrix(tiles_.chunk, y_.c, memory::format_tag::ab),
                 matrix(x_.c, y_.c, memory::format_tag::ab), true, threads),
        planes_(kernel_planes(shape.w, false, sum_step_), describe(shape.w, Layout::dense)) {
    ScratchPlan own;
    inputs_at_ = own.add(tiles_.places * tiles_.step(x_.c) * int64_t{sizeof(float)});
    gradients_at_ = own.add(tiles_.places * tiles_.step(y_.c) * int64_t{sizeof(float)});
    product_at_ = own.add(product_.scratch_bytes);
    sums_at_ = own.add(tiles_.places * sum_step_ * int64_t{sizeof(float)});
    own_bytes_ = own.bytes();
    scratch_.add(own_bytes_ * threads);
    reorder_at_ = scratch_.add(planes_.scratch_bytes());
  }
  int64_t scratch_bytes() const { return scratch_.bytes(); }

  void run(const float* dy, const float* x, float* dw, std::byte* scratch) {
    parallel(threads_, threads_, 1, [&](int thread, int64_t, int64_t) {
      std::fill_n(sums(scratch, thread), tiles_.places * sum_step_, 0.0f);
    });
    parallel(threads_, tiles_.chunks, 1, [&](int thread, int64_t begin, int64_t end) {
      for (int64_t chunk = begin; chunk < end; ++chunk)
        run_chunk(chunk * tiles_.chunk, thread, dy, x, scratch);
    });
    float* planes = sums(scratch, 0);  // each is written after the sums that lie there are read
    const int64_t plane = x_.c * y_.c;
    const int64_t part_step = own_bytes_ / int64_t{sizeof(float)};
    parallel(threads_, plane, 1024, [&](int, int64_t begin, int64_t end) {
      winograd_weights_gradient(tile_, sums(scratch, 0) + begin, sum_step_, threads_, part_step,
                                end - begin, planes + begin, sum_step_);
    });
    planes_.run(planes, dw, scratch + reorder_at_);
  }

 private:
  float* sums(std::byte* scratch, int thread) const {
    return reinterpret_cast<float*>(scratch + thread * own_bytes_ + sums_at_);
  }

  void run_chunk(int64_t first, int thread, const float* dy, const float* x, std::byte* scratch) {
    std::byte* own = scratch + thread * own_bytes_;
    float* inputs = reinterpret_cast<float*>(own + inputs_at_);
    float* gradients = reinterpret_cast<float*>(own + gradients_at_);
    const int64_t x_step = tiles_.step(x_.c), y_step = tiles_.step(y_.c);
    const int64_t count = std::min(tiles_.chunk, tiles_.count - first);
    for (int64_t t = 0; t < count; ++t) {
      const Tiles::At at = tiles_.at(first + t);
      const auto from =
          patch(x, x_, at.image, at.row - pad_row_, at.column - pad_column_, inputs_of(tile_));
      winograd_input(tile_, from, x_.c, inputs + t * x_.c, x_step);
      winograd_gradient(tile_, patch(dy, y_, at.image, at.row, at.column, outputs_of(tile_)), y_.c,
                        gradients + t * y_.c, y_step);
    }
    for (int64_t k = 0; k < tiles_.places; ++k) {
      std::fill(inputs + k * x_step + count * x_.c, inputs + k * x_step + tiles_.chunk * x_.c,
                0.0f);
      std::fill(gradients + k * y_step + count * y_.c, gradients + k * y_step + tiles_.chunk * y_.c,
                0.0f);
      product_.run(thread, inputs + k * x_step, gradients + k * y_step,
                   sums(scratch, thread) + k * sum_step_, own + product_at_);
    }
  }

  WinogradTile tile_;
  Map x_, y_;
  int64_t pad_row_, pad_column_;
  Tiles tiles_;
  int64_t sum_step_;
  int threads_;
  Product product_;
  Reorder planes_;
  ScratchPlan scratch_;
  int64_t reorder_at_ = 0;
  int64_t inputs_at_ = 0, gradients_at_ = 0, product_at_ = 0, sums_at_ = 0, own_bytes_ = 0;
};

/// Estimates in multiplications and additions of a matrix product; what else a way does counts as
/// so many of them as take that time. From DavidNet's and airbench's layers on one machine: direct
/// convolutions and elements through the transforms as measured, weights from their bytes.
double direct_cost(const ConvShape& shape) {
  constexpr double kSlower = 1.1;  // than a product of matrices
  return kSlower * double(shape.y.elements()) * double(shape.x.shape[1]) * 9;
}

double winograd_cost(const ConvShape& shape, WinogradTile tile) {
  constexpr double kElement = 20, kWeight = 100;
  const Map out(shape.direction == ConvDirection::backward_data ? shape.x : shape.y);
  const double side = outputs_of(tile), c = double(shape.w.shape[1]), m = double(shape.w.shape[0]);
  const double tiles =
      double(out.n) * std::ceil(double(out.h) / side) * std::ceil(double(out.w) / side);
  return places_of(tile) * (tiles * (c * m + kElement * (c + m)) + kWeight * c * m);
}

}  // namespace

std::optional<WinogradTile> winograd_tile(const ConvShape& shape) {
  constexpr int64_t kFewestChannels = 16;
  const bool fits = shape.w.shape[2] == 3 && shape.w.shape[3] == 3 && shape.stride == Shape{1, 1} &&
                    shape.padding[0] <= 2 && shape.padding[1] <= 2;
  if (!fits || std::min(shape.w.shape[0], shape.w.shape[1]) < kFewestChannels) return {};
  std::optional<WinogradTile> best;
  double least = direct_cost(shape);
  for (const WinogradTile tile : {WinogradTile::f2, WinogradTile::f4}) {
    const double cost = winograd_cost(shape, tile);
    if (cost >= least) continue;
    best = tile;
    least = cost;
  }
  return best;
}

Kernel winograd_kernel(const ConvShape& shape, WinogradTile tile, bool bias, int threads,
                       std::shared_ptr<Moments> moments) {
  if (shape.direction == ConvDirection::backward_weights) {
    const auto gradient = std::make_shared<WeightsGradient>(shape, tile, threads);
    return {[gradient](const KernelArgs& args) {
              gradient->run(args.inputs[0].as<float>(), args.inputs[1].as<float>(),
                            args.outputs[0].as<float>(), args.scratch);
            },
            gradient->scratch_bytes()};
  }
  const auto forward = std::make_shared<Forward>(shape, tile, threads, std::move(moments));
  return {[forward, bias](const KernelArgs& args) {
            forward->run(args.inputs[0].as<float>(), args.inputs[1].as<float>(),
                         bias ? args.inputs[2].as<float>() : nullptr, args.outputs[0].as<float>(),
                         nullptr, args.scratch);
          },
          forward->scratch_bytes()};
}

Kernel winograd_pool_kernel(const ConvShape& shape, WinogradTile tile, const PooledPorts& ports,
                            int threads, std::shared_ptr<Moments> moments) {
  const auto forward =
      std::make_shared<Forward>(shape, tile, threads, std::move(moments), ports.pooled);
  return {[forward, ports](const KernelArgs& args) {
            const auto input = [&](int k) {
              return k < 0 ? nullptr : args.inputs[static_cast<size_t>(k)].as<float>();
            };
            uint8_t* index = ports.index < 0
                                 ? nullptr
                                 : args.outputs[static_cast<size_t>(ports.index)].as<uint8_t>();
            forward->run(input(ports.x), input(ports.w), input(ports.bias),
                         args.outputs[static_cast<size_t>(ports.y)].as<float>(), index,
                         args.scratch);
          },
          forward->scratch_bytes()};
}

}  // namespace expgraph::onednn
