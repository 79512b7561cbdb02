// cuda_norm_test: the kernels of batch normalisation with pooling and activation do what the
// reference backend's operators do.
#include <doctest/doctest.h>

#include <cmath>

#include "tests/support/guarded_run.h"
#include "tests/support/kernel_case.h"
#include "tests/support/kernel_runs.h"

using namespace expgraph;
using namespace expgraph::test;
using cuda::Activation;
using cuda::Storage;

namespace {

struct NormCase {
  cuda::NormSizes sizes;
  int64_t skew = 0;             ///< bytes by which maps are off an aligned address
  const char* affine = "both";  ///< which of scale and bias there are
  bool has_scale() const { return std::string_view(affine) == "both"; }
  bool has_bias() const { return std::string_view(affine) != "none"; }
};

std::string described(const NormCase& c) {
  const cuda::NormSizes& s = c.sizes;
  return fmt::format(
      "[{}, {}, {}, {}] affine {} splits {} storage {} activation {} pool {} {}x{} / {}x{} + {}x{} "
      "skew {}",
      s.n, s.h, s.w, s.c, c.affine, s.splits, int(s.storage), int(s.activation), s.pooled,
      s.window.kh, s.window.kw, s.window.sh, s.window.sw, s.window.ph, s.window.pw, c.skew);
}

/// Relative to the largest element: fp32 sums of up to 70k values; half a unit in the last place
/// of the storage type, and what the rounding of a saved activation adds.
double tolerance(Storage storage) {
  if (storage == Storage::f32) return 2e-5;
  return storage == Storage::f16 ? 1e-3 : 8e-3;
}

double activation(const cuda::NormSizes& sizes, double x) {
  if (sizes.activation == Activation::relu) return x < 0 ? 0 : x;
  if (sizes.activation == Activation::celu)
    return x > 0 ? x : sizes.alpha * std::expm1(x / sizes.alpha);
  if (sizes.activation == Activation::gelu) return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
  return x;
}

double slope(const cuda::NormSizes& sizes, double saved) {
  if (sizes.activation == Activation::relu) return saved > 0 ? 1 : 0;
  if (sizes.activation == Activation::celu) return saved > 0 ? 1 : saved / sizes.alpha + 1;
  if (sizes.activation == Activation::gelu)
    return 0.5 * std::erfc(-saved / std::sqrt(2.0)) +
           saved * std::exp(-saved * saved / 2) / std::sqrt(2 * M_PI);
  return 1;
}

OpCase op_case(const NormCase& c) {
  const cuda::NormSizes& s = c.sizes;
  const TensorType channels{DType::f32, {s.c}};
  OpCase out;
  out.name = described(c);
  out.ops = {&op("batch_norm")};
  Attributes norm;
  norm.set("epsilon", 1e-3);
  norm.set("momentum", 0.3);
  norm.set("affine", std::string(c.affine));
  norm.set("splits", int64_t{s.splits});
  out.attributes = {complete_attributes(*out.ops[0], norm)};
  out.inputs = {TensorType{DType::f32, {s.n, s.c, s.h, s.w}}, channels, channels, channels,
                channels};
  if (!c.has_scale()) out.inputs[1] = std::nullopt;
  if (!c.has_bias()) out.inputs[2] = std::nullopt;
  out.ranges["running_var"] = {0.5, 2};
  if (!s.pooled) return out;
  out.ops.push_back(&op("max_pool"));
  Attributes pool;
  pool.set("size", std::vector<int64_t>{s.window.kh, s.window.kw});
  pool.set("stride", std::vector<int64_t>{s.window.sh, s.window.sw});
  pool.set("padding", std::vector<int64_t>{s.window.ph, s.window.pw});
  out.attributes.push_back(complete_attributes(*out.ops[1], pool));
  return out;
}

/// Sides of the kernels and of the reference, with everything that is compared.
class NormRun {
 public:
  explicit NormRun(const NormCase& c)
      : case_(c),
        sizes_(c.sizes),
        op_case_(op_case(c)),
        graph_(*gradient_graph(op_case_)),
        inputs_(make_inputs(op_case_, graph_)) {
    Tensor& x = inputs_.at("x");
    // Far from zero, as before a normalisation: a sum of squares would cancel.
    for (int64_t i = 0; i < x.type.elements(); ++i)
      x.set(i, rounded(static_cast<float>(3 + x.at(i)), sizes_.storage));
    dy_ = output_last(elements<float>(inputs_.at("gradient")));
    for (float& value : dy_) value = rounded(value, sizes_.storage);
    want_ = reference();
  }

  /// What the kernels get wrong; all bits of what they make are added to `bits`.
  std::vector<std::string> faults(std::vector<float>& bits) {
    std::vector<std::string> found;
    const auto compare = [&](const char* what, const auto& want, auto got, double allowed) {
      bits.insert(bits.end(), got.begin(), got.end());
      const double off = distance(want, got);
      if (!(off <= allowed))
        found.push_back(fmt::format("{}: {} is off by {:.3g}", op_case_.name, what, off));
    };
    const Storage storage = sizes_.storage;
    const int64_t out = sizes_.out_rows() * sizes_.c;
    DeviceMap x(channels_last(inputs_.at("x")), storage, case_.skew);
    DeviceMap y(out, storage, case_.skew), dx(sizes_.rows() * sizes_.c, storage, case_.skew);
    DeviceArray<uint8_t> index(sizes_.pooled ? out : 0, case_.skew);
    DeviceArray<float> scales = per_channel("scale"), biases = per_channel("bias");
    const float* scale = case_.has_scale() ? scales.data() : nullptr;
    const float* bias = case_.has_bias() ? biases.data() : nullptr;
    DeviceArray<float> mean = per_channel("running_mean"), var = per_channel("running_var");
    const int64_t statistics = sizes_.splits * sizes_.c;
    DeviceArray<float> batch_mean(statistics), inverse_std(statistics), new_mean(sizes_.c),
        new_var(sizes_.c);
    DeviceArray<float> dscale(sizes_.c), dbias(sizes_.c);
    DeviceArray<float> scratch(cuda::batch_norm_scratch_bytes(sizes_) / 4);
    uint8_t* places = sizes_.pooled ? index.data() : nullptr;
    cuda::batch_norm_forward(sizes_,
                             {.x = x.data(),
                              .scale = scale,
                              .bias = bias,
                              .running_mean = mean.data(),
                              .running_var = var.data(),
                              .epsilon = 1e-3f,
                              .momentum = 0.3f,
                              .y = y.data(),
                              .index = places,
                              .mean = batch_mean.data(),
                              .inverse_std = inverse_std.data(),
                              .new_running_mean = new_mean.data(),
                              .new_running_var = new_var.data(),
                              .scratch = scratch.data()},
                             nullptr);
    const std::string norm = sizes_.pooled ? "0." : "";
    std::vector<double> activated = wanted_output();
    const std::vector<double> before = activated;
    for (double& value : activated) value = activation(sizes_, value);
    compare("y", activated, y.read(), tolerance(storage));
    compare("mean", elements<float>(want_.at(norm + "mean")), batch_mean.read(), 1e-5);
    compare("inverse_std", elements<float>(want_.at(norm + "inverse_std")), inverse_std.read(),
            1e-5);
    compare("new mean", elements<float>(want_.at(norm + "new_running_mean")), new_mean.read(),
            1e-5);
    compare("new var", elements<float>(want_.at(norm + "new_running_var")), new_var.read(), 1e-5);
    if (sizes_.pooled) compare("index", wanted_index(), index.read(), 0);

    DeviceMap applied(out, storage, case_.skew);
    cuda::batch_norm_apply(sizes_,
                           {.x = x.data(),
                            .scale = scale,
                            .bias = bias,
                            .mean = batch_mean.data(),
                            .spread = inverse_std.data(),
                            .y = applied.data(),
                            .index = nullptr},
                           nullptr);
    compare("y again", y.read(), applied.read(), 0);
    cuda::NormSizes whole = sizes_;
    whole.splits = 1;
    cuda::batch_norm_apply(whole,
                           {.x = x.data(),
                            .scale = scale,
                            .bias = bias,
                            .mean = mean.data(),
                            .spread = var.data(),
                            .spread_is_variance = true,
                            .epsilon = 1e-3f,
                            .y = applied.data(),
                            .index = nullptr},
                           nullptr);
    if (!sizes_.pooled)
      compare("by running statistics", wanted_inference(), applied.read(), tolerance(storage));

    // The slope is that of what was saved, so the reference is given dy times that slope.
    std::vector<float> saved = y.read();
    if (sizes_.activation == Activation::gelu) {
      for (size_t i = 0; i < saved.size(); ++i)
        saved[i] = rounded(static_cast<float>(before[i]), storage);
    }
    wanted_gradients(saved);
    DeviceMap dy_map(dy_, storage, case_.skew), saved_map(saved, storage, case_.skew);
    cuda::NormBackward backward{.dy = dy_map.data(),
                                .saved = saved_map.data(),
                                .index = places,
                                .x = x.data(),
                                .scale = scale,
                                .bias = bias,
                                .mean = batch_mean.data(),
                                .inverse_std = inverse_std.data(),
                                .dx = dx.data(),
                                .dscale = dscale.data(),
                                .dbias = dbias.data(),
                                .scratch = scratch.data()};
    cuda::batch_norm_backward(sizes_, backward, nullptr);
    if (scale != nullptr)
      compare("dscale", elements<float>(want_.at("gradient/scale")), dscale.read(), 2e-5);
    if (bias != nullptr)
      compare("dbias", elements<float>(want_.at("gradient/bias")), dbias.read(), 2e-5);
    const std::vector<float> wanted_dx = channels_last(want_.at("gradient/x"));
    compare("dx", wanted_dx, dx.read(), tolerance(storage));
    const std::vector<float> made = dx.read();
    // What is made again is not rounded to the storage type, as what is saved is.
    backward.saved = nullptr;
    backward.dscale = backward.dbias = nullptr;
    cuda::batch_norm_backward(sizes_, backward, nullptr);
    compare("dx of what is made again", wanted_dx, dx.read(), 2 * tolerance(storage));
    if (!sizes_.pooled) {
      backward.saved = saved_map.data();
      backward.dx = dy_map.data();
      cuda::batch_norm_backward(sizes_, backward, nullptr);
      compare("dx over dy", made, dy_map.read(), 0);
    }
    scratch.read();
    return found;
  }

 private:
  Tensors reference() const {
    const Graph& graph = graph_;
    return guarded_run(load_backend("reference"), graph, guarded_plan(graph), inputs_).results;
  }
  void wanted_gradients(const std::vector<float>& saved) {
    const Tensor& y = want_.at("y");
    Tensor& gradient = inputs_.at("gradient");
    const int64_t pixels = y.type.elements() / (sizes_.n * sizes_.c);
    for (int64_t n = 0; n < sizes_.n; ++n)
      for (int64_t c = 0; c < sizes_.c; ++c)
        for (int64_t i = 0; i < pixels; ++i) {
          const auto last = static_cast<size_t>((n * pixels + i) * sizes_.c + c);
          gradient.set((n * sizes_.c + c) * pixels + i, dy_[last] * slope(sizes_, saved[last]));
        }
    want_ = reference();
  }
  std::vector<float> channels_last(const Tensor& tensor) const {
    return to_channels_last(elements<float>(tensor), sizes_.n, sizes_.c, sizes_.h * sizes_.w);
  }
  template <typename T>
  std::vector<T> output_last(const std::vector<T>& values) const {
    return to_channels_last(values, sizes_.n, sizes_.c, sizes_.out_rows() / sizes_.n);
  }
  std::vector<double> wanted_output() const { return output_last(elements<double>(want_.at("y"))); }
  std::vector<int> wanted_index() const { return output_last(elements<int>(want_.at("index"))); }
  std::vector<double> wanted_inference() const {
    std::vector<double> out;
    const std::vector<float> x = channels_last(inputs_.at("x"));
    for (size_t i = 0; i < x.size(); ++i) {
      const auto c = static_cast<int64_t>(i) % sizes_.c;
      const auto of = [&](const char* name, double absent = 0) {
        const auto found = inputs_.find(name);
        return found == inputs_.end() ? absent : found->second.at(c);
      };
      const double inverse_std = 1 / std::sqrt(of("running_var") + 1e-3);
      out.push_back(activation(
          sizes_, of("scale", 1) * (x[i] - of("running_mean")) * inverse_std + of("bias")));
    }
    return out;
  }
  DeviceArray<float> per_channel(const char* name) const {
    const auto found = inputs_.find(name);
    return DeviceArray<float>(found == inputs_.end() ? std::vector<float>()
                                                     : elements<float>(found->second));
  }

  NormCase case_;
  cuda::NormSizes sizes_;
  OpCase op_case_;
  Graph graph_;
  Tensors inputs_, want_;
  std::vector<float> dy_;
};

/// Odd sizes, each with some storage, activation and window; the last have many rows or channels.
std::vector<NormCase> cases() {
  std::vector<NormCase> out;
  std::mt19937 random(7);
  const auto pick = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  for (int k = 0; k < 48; ++k) {
    NormCase c;
    cuda::NormSizes& s = c.sizes;
    s = {.storage = Storage(k % 3),
         .n = pick(1, 9),
         .h = pick(1, 17),
         .w = pick(1, 17),
         .c = k % 2 == 0 ? pick(1, 67) : 8 * pick(1, 8),
         .activation = Activation(k / 3 % 4),
         .alpha = 0.3f};
    if (s.rows() == 1) s.n = 2;
    if (k % 7 >= 4) {
      s.splits = k % 7 - 2;
      s.n = s.splits * pick(s.h * s.w == 1 ? 2 : 1, 3);
    }
    c.affine = k % 4 == 1 ? "bias" : k % 9 == 3 ? "none" : "both";
    c.skew = k % 5 == 4 ? bytes_of(s.storage) : 0;
    if (k % 4 >= 2) {
      const auto window = [&](int64_t side, int& size, int& stride, int& padding, int64_t& count) {
        padding = static_cast<int>(side > 1 ? pick(0, 1) : 0);
        size = static_cast<int>(pick(1 + padding, std::min<int64_t>(side + padding, 4)));
        stride = static_cast<int>(k % 8 < 4 ? size : pick(1, 3));
        count = (side + 2 * padding - size) / stride + 1;
      };
      s.pooled = true;
      window(s.h, s.window.kh, s.window.sh, s.window.ph, s.window.out_h);
      window(s.w, s.window.kw, s.window.sw, s.window.pw, s.window.out_w);
    }
    out.push_back(c);
  }
  out.push_back({.sizes = {.n = 32, .h = 17, .w = 9, .c = 8, .splits = 32}, .affine = "bias"});
  out.push_back({.sizes = {.n = 65, .h = 33, .w = 3, .c = 5, .activation = Activation::relu}});
  out.push_back({.sizes = {.n = 3, .h = 33, .w = 33, .c = 67, .activation = Activation::celu}});
  return out;
}

}  // namespace

TEST_CASE(
    "batch norm with pooling and activation is what reference says, in any order of threads") {
  if (no_device()) return;
  size_t pooled = 0, wide = 0, split = 0, without_scale = 0;
  for (const NormCase& c : cases()) {
    NormRun run(c);
    check_in_all_orders([&](std::vector<float>& bits) { return run.faults(bits); });
    pooled += c.sizes.pooled;
    split += c.sizes.splits > 1;
    without_scale += !c.has_scale();
    wide += c.sizes.c % (16 / bytes_of(c.sizes.storage)) == 0 && c.skew == 0;
  }
  CHECK(pooled >= 20);
  CHECK(wide >= 15);
  CHECK(split >= 15);
  CHECK(without_scale >= 12);
}

TEST_CASE("batch norm lets NaN through") {
  if (no_device()) return;
  const cuda::NormSizes sizes{.n = 2,
                              .h = 2,
                              .w = 2,
                              .c = 3,
                              .activation = Activation::relu,
                              .pooled = true,
                              .window = {2, 2, 2, 2, 0, 0, 1, 1}};
  std::vector<float> values(24, 1.0f);
  values[4] = std::nanf("");
  DeviceMap x(values, Storage::f32), y(6, Storage::f32);
  DeviceArray<float> one(std::vector<float>(3, 1.0f)), zero(std::vector<float>(3, 0.0f));
  cuda::batch_norm_apply(sizes,
                         {.x = x.data(),
                          .scale = one.data(),
                          .bias = zero.data(),
                          .mean = zero.data(),
                          .spread = one.data(),
                          .y = y.data(),
                          .index = nullptr},
                         nullptr);
  const std::vector<float> got = y.read();
  CHECK(distance(std::vector<float>{1, std::nanf(""), 1, 1, 1, 1}, got) == 0);
}
