// norm: batch normalisation and its gradient, alone or with the relu and max pooling beside it:
// one pass for the statistics and one for all the rest.
#include <cmath>

#include "backends/onednn/pool.h"
#include "backends/onednn/ports.h"
#include "backends/onednn/tiles.h"

namespace expgraph::onednn {

namespace {

/// Where the operands of a forward normalisation are among a node's inputs and outputs.
struct Forward {
  enum class Mode { train, inference, apply };
  Mode mode = Mode::train;
  int x = 0, scale = 1, bias = 2, mean = 3, variance = 4;  ///< apply: mean and inverse_std
  int y = 0, mean_out = -1, inverse_std_out = -1, new_mean = -1, new_variance = -1, index = -1;
  std::optional<PoolShape> pool;
  bool relu = false;
  double epsilon = 0, momentum = 0;
};

class ForwardKernel {
 public:
  ForwardKernel(const Forward& forward, const TensorType& x, int threads)
      : f_(forward), map_(x), space_(map_), partials_(map_.c, 2, threads), threads_(threads) {
    partials_at_ = scratch_.add(partials_.bytes());
    for (int64_t& at : parameters_at_) at = scratch_.add(map_.c * int64_t{sizeof(float)});
  }
  int64_t scratch_bytes() const { return scratch_.bytes(); }

  void operator()(const KernelArgs& args) const {
    float* a = parameter(args, 0);
    float* mean = parameter(args, 1);
    if (f_.mode == Forward::Mode::train) {
      take_statistics(args, a, mean);
    } else {
      const float* second = in(args, f_.variance);
      for (int64_t c = 0; c < map_.c; ++c) {
        mean[c] = in(args, f_.mean)[c];
        a[c] = f_.mode == Forward::Mode::apply
                   ? second[c]
                   : static_cast<float>(1 / std::sqrt(double(second[c]) + f_.epsilon));
      }
    }
    for (int64_t c = 0; c < map_.c; ++c) a[c] *= in(args, f_.scale)[c];
    apply(args, {a, mean, in(args, f_.bias), f_.relu});
  }

 private:
  static const float* in(const KernelArgs& args, int k) {
    return args.inputs[static_cast<size_t>(k)].as<float>();
  }
  static float* out(const KernelArgs& args, int k) {
    return k < 0 ? nullptr : args.outputs[static_cast<size_t>(k)].as<float>();
  }
  float* parameter(const KernelArgs& args, size_t k) const {
    return reinterpret_cast<float*>(args.scratch + parameters_at_[k]);
  }

  /// Sums of x and its square about a value of each channel, which keeps the difference of large
  /// numbers out of the variance.
  void take_statistics(const KernelArgs& args, float* inverse_std, float* mean) const {
    const float* x = in(args, f_.x);
    float* shift = mean;
    std::copy_n(x, map_.c, shift);
    Partials sums = partials_;
    sums.place(args.scratch + partials_at_);
    space_.for_each(threads_, [&](int thread, int64_t pixel, int64_t count) {
      add_statistics(x + pixel * map_.c, count, map_.c, shift, sums.of(thread, 0),
                     sums.of(thread, 1));
    });
    const double count = static_cast<double>(map_.pixels());
    for (int64_t c = 0; c < map_.c; ++c) {
      const double offset = sums.total(0, c) / count;
      const double squares = std::max(0.0, sums.total(1, c) - offset * offset * count);
      const double centre = shift[c] + offset;
      mean[c] = static_cast<float>(centre);
      inverse_std[c] = static_cast<float>(1 / std::sqrt(squares / count + f_.epsilon));
      if (float* to = out(args, f_.mean_out)) to[c] = mean[c];
      if (float* to = out(args, f_.inverse_std_out)) to[c] = inverse_std[c];
      const double unbiased = squares / std::max(count - 1, 1.0);
      if (float* to = out(args, f_.new_mean)) to[c] = moved(in(args, f_.mean)[c], centre);
      if (float* to = out(args, f_.new_variance)) to[c] = moved(in(args, f_.variance)[c], unbiased);
    }
  }
  float moved(double running, double now) const {
    return static_cast<float>((1 - f_.momentum) * running + f_.momentum * now);
  }

  void apply(const KernelArgs& args, const Affine& affine) const {
    const float* x = in(args, f_.x);
    float* y = out(args, f_.y);
    if (f_.pool) {
      const TensorView index =
          f_.index < 0 ? TensorView{} : args.outputs[static_cast<size_t>(f_.index)];
      if (y || index.data) max_pool(*f_.pool, {x, y, index}, affine, threads_);
    } else if (y) {
      space_.for_each(threads_, [&](int, int64_t pixel, int64_t count) {
        apply_affine(x + pixel * map_.c, y + pixel * map_.c, count, map_.c, affine);
      });
    }
  }

  Forward f_;
  Map map_;
  TileSpace space_;
  Partials partials_;
  int threads_;
  ScratchPlan scratch_;
  int64_t partials_at_ = 0;
  int64_t parameters_at_[2] = {};
};

/// The same of a gradient: [relu_backward], [max_pool_backward], batch_norm_backward.
struct Backward {
  int dy = 0, y = -1, index = -1, x = 1, scale = 2, mean = 3, inverse_std = 4;
  int dx = 0, dscale = 1, dbias = 2;
  std::optional<PoolShape> pool;
};

class BackwardKernel {
 public:
  BackwardKernel(const Backward& backward, const TensorType& x, int threads)
      : b_(backward), map_(x), space_(map_), partials_(map_.c, 2, threads), threads_(threads) {
    partials_at_ = scratch_.add(partials_.bytes());
    for (int64_t& at : parameters_at_) at = scratch_.add(map_.c * int64_t{sizeof(float)});
  }
  int64_t scratch_bytes() const { return scratch_.bytes(); }

  /// dx = scale * inverse_std * (g - mean(g) - z * mean(g * z)), z = (x - mean) * inverse_std.
  void operator()(const KernelArgs& args) const {
    const float* mean = in(args, b_.mean);
    Partials sums = partials_;
    sums.place(args.scratch + partials_at_);
    for_tiles(args, [&](int thread, const At& at) {
      if (b_.pool)
        add_window_gradient_sums(at.g, at.index, at.x, b_.pool->row(), map_.c, mean,
                                 sums.of(thread, 0), sums.of(thread, 1));
      else
        add_gradient_sums(at.g, at.x, at.pixels, map_.c, mean, sums.of(thread, 0),
                          sums.of(thread, 1));
    });
    float* parameters[3];
    for (size_t k = 0; k < 3; ++k)
      parameters[k] = reinterpret_cast<float*>(args.scratch + parameters_at_[k]);
    const auto [a, b, c0] = parameters;
    const double count = static_cast<double>(map_.pixels());
    for (int64_t c = 0; c < map_.c; ++c) {
      const double inverse_std = in(args, b_.inverse_std)[c];
      const double dbias = sums.total(0, c), dscale = sums.total(1, c) * inverse_std;
      const double factor = in(args, b_.scale)[c] * inverse_std;
      a[c] = static_cast<float>(factor);
      b[c] = static_cast<float>(-factor * inverse_std * dscale / count);
      c0[c] = static_cast<float>(-factor * dbias / count);
      if (float* to = out(args, b_.dscale)) to[c] = static_cast<float>(dscale);
      if (float* to = out(args, b_.dbias)) to[c] = static_cast<float>(dbias);
    }
    if (out(args, b_.dx) == nullptr) return;
    const NormGradient norm{a, mean, b, c0};
    for_tiles(args, [&](int, const At& at) {
      if (b_.pool)
        apply_window_gradient(at.g, at.index, at.x, at.dx, b_.pool->row(), map_.c, norm);
      else
        apply_gradient(at.g, at.x, at.dx, at.pixels, map_.c, norm);
    });
  }

 private:
  /// One tile of every operand; with pooling, a row of windows.
  struct At {
    Gradient g;
    PoolIndex index;
    const float* x;
    float* dx;
    int64_t pixels;
  };

  template <typename Body>
  void for_tiles(const KernelArgs& args, const Body& body) const {
    const float* dy = in(args, b_.dy);
    const float* y = b_.y < 0 ? nullptr : in(args, b_.y);
    const float* x = in(args, b_.x);
    float* dx = out(args, b_.dx);
    const auto from = [](auto* data, int64_t element) { return data ? data + element : nullptr; };
    if (!b_.pool) {
      space_.for_each(threads_, [&](int thread, int64_t pixel, int64_t count) {
        const int64_t at = pixel * map_.c;
        body(thread, At{{dy + at, from(y, at)}, {}, x + at, from(dx, at), count});
      });
      return;
    }
    const PoolShape& pool = *b_.pool;
    const TensorView& index = args.inputs[static_cast<size_t>(b_.index)];
    parallel(threads_, map_.n * pool.y.h, 1, [&](int thread, int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t place = row * pool.y.w * map_.c, at = place * pool.window.places();
        body(thread,
             At{{dy + place, from(y, place)}, index_at(index, place), x + at, from(dx, at), 0});
      }
    });
  }

  static const float* in(const KernelArgs& args, int k) {
    return args.inputs[static_cast<size_t>(k)].as<float>();
  }
  static float* out(const KernelArgs& args, int k) {
    return k < 0 ? nullptr : args.outputs[static_cast<size_t>(k)].as<float>();
  }

  Backward b_;
  Map map_;
  TileSpace space_;
  Partials partials_;
  int threads_;
  ScratchPlan scratch_;
  int64_t partials_at_ = 0;
  int64_t parameters_at_[3] = {};
};

Made make_forward(const MakerContext& context, const Ports& ports, const Node& norm,
                  const Node* pool, const Node* relu) {
  Forward f;
  f.x = ports.input(norm.inputs[0]);
  f.scale = ports.input(norm.inputs[1]);
  f.bias = ports.input(norm.inputs[2]);
  f.mean = ports.input(norm.inputs[3]);
  f.variance = ports.input(norm.inputs[4]);
  if (norm.op->name == "batch_norm") {
    f.momentum = norm.attributes.real("momentum");
    f.mean_out = ports.output(norm.outputs[1]);
    f.inverse_std_out = ports.output(norm.outputs[2]);
    f.new_mean = ports.output(norm.outputs[3]);
    f.new_variance = ports.output(norm.outputs[4]);
  } else {
    f.mode = norm.op->name == "batch_norm_apply" ? Forward::Mode::apply : Forward::Mode::inference;
  }
  if (f.mode != Forward::Mode::apply) f.epsilon = norm.attributes.real("epsilon");
  const Node& last = relu ? *relu : pool ? *pool : norm;
  f.y = ports.output(last.outputs[0]);
  f.relu = relu != nullptr;
  const TensorType& x = context.input(static_cast<size_t>(f.x));
  if (pool) {
    f.pool.emplace(pool->attributes, x, ports.type(pool->outputs[0]));
    f.index = ports.output(pool->outputs[1]);
  }
  const auto kernel = std::make_shared<ForwardKernel>(f, x, context.threads);
  Made made = dense(
      context, {[kernel](const KernelArgs& args) { (*kernel)(args); }, kernel->scratch_bytes()});
  made.inputs[static_cast<size_t>(f.x)] = map_layout(x);
  for (const int k : {f.y, f.index})
    if (k >= 0) made.outputs[static_cast<size_t>(k)] = map_layout(x);
  return made;
}

Made make_backward(const MakerContext& context, const Ports& ports, const Node& norm,
                   const Node* pool, const Node* relu) {
  Backward b;
  b.x = ports.input(norm.inputs[1]);
  b.scale = ports.input(norm.inputs[2]);
  b.mean = ports.input(norm.inputs[3]);
  b.inverse_std = ports.input(norm.inputs[4]);
  b.dx = ports.output(norm.outputs[0]);
  b.dscale = ports.output(norm.outputs[1]);
  b.dbias = ports.output(norm.outputs[2]);
  const Node& first = relu ? *relu : pool ? *pool : norm;
  b.dy = ports.input(first.inputs[0]);
  if (relu) b.y = ports.input(relu->inputs[1]);
  const TensorType& x = context.input(static_cast<size_t>(b.x));
  if (pool) {
    b.index = ports.input(pool->inputs[1]);
    b.pool.emplace(pool->attributes, x, ports.type(pool->inputs[0]));
  }
  const auto kernel = std::make_shared<BackwardKernel>(b, x, context.threads);
  Made made = dense(
      context, {[kernel](const KernelArgs& args) { (*kernel)(args); }, kernel->scratch_bytes()});
  for (const int k : {b.dy, b.y, b.index, b.x})
    if (k >= 0) made.inputs[static_cast<size_t>(k)] = map_layout(x);
  if (b.dx >= 0) made.outputs[static_cast<size_t>(b.dx)] = map_layout(x);
  return made;
}

Made make_norm(const MakerContext& context) {
  return make_forward(context, Ports(context), context.node, nullptr, nullptr);
}

Made make_norm_backward(const MakerContext& context) {
  return make_backward(context, Ports(context), context.node, nullptr, nullptr);
}

constexpr Maker kMakers[] = {
    {"batch_norm", make_norm},
    {"batch_norm_inference", make_norm},
    {"batch_norm_apply", make_norm},
    {"batch_norm_backward", make_norm_backward},
};

/// The node of that name where it is next in the chain: fed by `before` at its first input.
const Node* take(std::span<const Node>& rest, std::string_view op, const Node* before) {
  if (rest.empty() || rest.front().op->name != op) return nullptr;
  if (before && rest.front().inputs[0] != before->outputs[0]) return nullptr;
  const Node* node = &rest.front();
  rest = rest.subspan(1);
  return node;
}

/// Whether the body hands the node's first output back, or reads it other than once.
bool inner(const Ports& ports, const Node& node) {
  return ports.output(node.outputs[0]) < 0 && ports.readers(node.outputs[0]) == 1;
}

}  // namespace

std::span<const Maker> norm_makers() { return kMakers; }

std::optional<Made> make_fused_norm(const MakerContext& context) {
  const Ports ports(context);
  std::span<const Node> rest = context.node.body->nodes();
  for (const std::string_view op : {"batch_norm", "batch_norm_inference", "batch_norm_apply"}) {
    const Node* norm = take(rest, op, nullptr);
    if (norm == nullptr) continue;
    const Node* pool = take(rest, "max_pool", norm);
    const Node* relu = take(rest, "relu", pool ? pool : norm);
    const bool chain = rest.empty() && (pool || relu) && inner(ports, *norm) &&
                       !(pool && relu && !inner(ports, *pool));
    if (!chain) return std::nullopt;
    return make_forward(context, ports, *norm, pool, relu);
  }
  const Node* relu = take(rest, "relu_backward", nullptr);
  const Node* pool = take(rest, "max_pool_backward", relu);
  const Node* norm = take(rest, "batch_norm_backward", pool ? pool : relu);
  const bool chain = norm && rest.empty() && (!relu || inner(ports, *relu)) &&
                     (!pool || inner(ports, *pool)) && ports.all_leaves(*norm, 1) &&
                     (!pool || ports.all_leaves(*pool, 1));
  if (!chain) return std::nullopt;
  // Windows that overlap or leave pixels out need the gradient of the pool as a map of its own.
  if (pool &&
      !PoolShape(pool->attributes, ports.type(pool->outputs[0]), ports.type(pool->inputs[0]))
           .tiles_exactly())
    return std::nullopt;
  return make_backward(context, ports, *norm, pool, relu);
}

}  // namespace expgraph::onednn
