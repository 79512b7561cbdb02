// fuzz_case: a seed -> an operator, or a chain that a target fuses, over tensors of odd sizes:
// channels 1 to 67, sides 1 to 33, batches 1 to 65.
#include "tests/support/fuzz_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "tests/support/random_case.h"

namespace expgraph::test {

namespace {

constexpr int64_t kChannels = 67, kSide = 33, kBatch = 65;
constexpr uint32_t kKinds = 17;  // of cases, by turns

class Draw {
 public:
  Draw(uint32_t seed, const std::vector<FusionPattern>& patterns)
      : seed_(seed), random_(seed), patterns_(patterns) {
    const bool large = seed >= kSmallSeeds && random_.in(0, 3) == 0;
    elements_ = large ? 2'000'000 : 1'000 << random_.in(0, 6);
    macs_ = large ? 500'000'000 : 20'000'000;
  }

  OpCase any() {
    switch (seed_ % kKinds) {
      case 0:
      case 1:
        return conv();
      case 2:
      case 3:
        return tiled_conv();
      case 4:
      case 5:
      case 6:
        return fused_norm();
      case 7:
        return norm();
      case 8:
        return pool();
      case 9:
        return elementwise();
      case 10:
        return shape();
      case 11:
        return linear();
      case 12:
        return loss();
      case 13:
        return update();
      case 14:
        return scalars();
      case 15:
        return samples();
      default:
        return images();
    }
  }

 private:
  /// An extent of at most `most`, as often among the larger half as below it.
  int64_t side(int64_t most = kSide) {
    return random_.coin() ? random_.in((most + 1) / 2, most) : random_.in(1, most);
  }

  /// [n, c, h, w] of at most the case's elements, the rest smaller where one is large.
  TensorType map(int64_t channels) {
    Shape shape{random_.in(1, kBatch), channels, side(), side()};
    shrink(shape, elements_);
    return f32(shape);
  }
  TensorType map() { return map(random_.channels()); }

  /// Draws the batch and the sides anew until the elements are few enough.
  void shrink(Shape& shape, int64_t most) {
    const auto elements = [&] { return TensorType{DType::f32, shape}.elements(); };
    for (size_t k = 0; elements() > most; k = (k + 1) % 3) {
      int64_t& extent = shape[std::array<size_t, 3>{0, 2, 3}[k]];
      extent = random_.in((extent + 1) / 2, extent);
      if (shape[0] == 1 && shape[2] == 1 && shape[3] == 1) return;
    }
  }

  /// One number, or rows and columns.
  AttributeValue pair(int64_t least, int64_t most) {
    std::vector<int64_t> numbers{random_.in(least, most)};
    if (random_.in(0, 3) == 0) numbers.push_back(random_.in(least, most));
    return numbers;
  }

  OpCase conv_case(TensorType x, int64_t outputs, int64_t kh, int64_t kw, AttributeValue stride,
                   int64_t padding) {
    x.shape[2] = std::max(x.shape[2], kh - 2 * padding);
    x.shape[3] = std::max(x.shape[3], kw - 2 * padding);
    const int64_t images = macs_ / (outputs * x.shape[1] * kh * kw * x.shape[2] * x.shape[3]);
    x.shape[0] = std::clamp<int64_t>(images, 1, x.shape[0]);
    const bool bias = random_.coin();
    std::vector<std::optional<TensorType>> inputs{x, f32({outputs, x.shape[1], kh, kw})};
    if (bias) inputs.push_back(f32({outputs}));
    return make_case({{"conv2d", attributes({{"channels", outputs},
                                             {"kernel", std::vector<int64_t>{kh, kw}},
                                             {"stride", std::move(stride)},
                                             {"padding", both(padding)},
                                             {"bias", bias}})}},
                     inputs, fmt::format("padding {}", padding));
  }

  OpCase conv() {
    const int64_t kernel = random_.pick<int64_t>({1, 2, 3, 3, 5, 7});
    const int64_t columns = random_.in(0, 7) == 0 ? random_.in(1, 7) : kernel;
    return conv_case(map(), random_.channels(), kernel, columns, pair(1, 3), random_.in(0, 3));
  }

  /// What algorithms by tiles are chosen for: 3x3, stride 1, many channels and places.
  OpCase tiled_conv() {
    const auto channels = [&] { return random_.coin() ? 32 : random_.in(32, kChannels); };
    const int64_t inputs = channels(), outputs = channels();
    Shape shape{kBatch, inputs, side(), side()};
    const int64_t tiles = random_.in(64, 220) * random_.pick<int64_t>({1, 1, 1, 4});
    shape[0] = std::clamp<int64_t>(4 * tiles / (shape[2] * shape[3]), 1, kBatch);
    const int64_t padding = random_.pick<int64_t>({0, 1, 1, 1, 2, 3});
    macs_ *= 5;
    return conv_case(f32(shape), outputs, 3, 3, both(1), padding);
  }

  /// Cuts the sides so that some windows of 2 to 4 pixels a side tile the map exactly.
  void tile(TensorType& x) {
    tile_ = {random_.pick<int64_t>({2, 2, 3, 4}), random_.pick<int64_t>({2, 2, 3})};
    for (size_t k : {0, 1})
      x.shape[2 + k] = std::max(x.shape[2 + k] / tile_[k], int64_t{1}) * tile_[k];
  }

  Attributes window(const TensorType& x) {
    const int64_t h = x.shape[2], w = x.shape[3];
    if (!tile_.empty()) return attributes({{"size", tile_}});
    if (random_.in(0, 7) == 0 && h * w <= 256) return attributes({{"size", both(0)}});
    const int64_t kh = std::min(h, random_.in(1, 4)), kw = std::min(w, random_.in(1, 4));
    std::vector<int64_t> size{kh, random_.coin() ? kw : std::min(kh, w)};
    if (random_.coin()) return attributes({{"size", std::move(size)}});
    const int64_t padding = random_.in(0, std::min(size[0], size[1]) / 2);
    return attributes(
        {{"size", std::move(size)}, {"stride", pair(1, 4)}, {"padding", both(padding)}});
  }

  /// A normalisation with its inputs, and the single-input ops after it.
  OpCase norm_chain(const std::string& norm, std::span<const std::string> rest) {
    const int64_t splits = norm == "batch_norm_inference" ? 1 : random_.pick<int64_t>({1, 1, 2, 3});
    TensorType x = map();
    if (std::ranges::find(rest, "max_pool") != rest.end() && random_.coin()) tile(x);
    x.shape[0] = std::max<int64_t>(x.shape[0] / splits, 1) * splits;
    if (x.shape[0] * x.shape[2] * x.shape[3] < 4 * splits) x.shape[0] = 4 * splits;
    const TensorType channel = f32({x.shape[1]}), part = f32({x.shape[1] * splits});
    const bool signs = std::ranges::find(rest, "relu") != rest.end();  // need a bias, see settled
    const auto affine =
        random_.pick<std::string>({"both", "both", "bias", signs ? "bias" : "none"});
    std::vector<std::optional<TensorType>> inputs(5);
    inputs[0] = x;
    if (affine == "both") inputs[1] = channel;
    if (affine != "none") inputs[2] = channel;
    inputs[3] = inputs[4] = norm == "batch_norm_apply" ? part : channel;
    Attributes given;
    if (norm == "batch_norm") given = attributes({{"affine", affine}, {"splits", splits}});
    Chain chain{{norm, given}};
    for (const std::string& name : rest) {
      Attributes of_op = name == "max_pool" ? window(x) : Attributes();
      if (name == "celu") of_op.set("alpha", 0.3);
      chain.emplace_back(name, std::move(of_op));
    }
    OpCase c = make_case(chain, inputs, fmt::format("affine {} splits {}", affine, splits));
    coarse(c, "x", x);
    c.ranges["running_var"] = c.ranges["inverse_std"] = {0.5, 2};
    if (affine == "both") scales(c, x.shape[1]);
    return c;
  }

  /// Values so far apart that rounding decides neither a maximum nor, but seldom, a sign.
  void coarse(OpCase& c, const std::string& input, const TensorType& type) {
    std::vector<double>& values = c.values[input];
    for (int64_t i = 0; i < type.elements(); ++i)
      values.push_back(static_cast<double>(random_.in(-16, 15)) / 8);
  }

  /// Factors of either sign that are not near zero.
  void scales(OpCase& c, int64_t channels) {
    std::vector<double>& values = c.values["scale"];
    for (int64_t i = 0; i < channels; ++i)
      values.push_back(static_cast<double>(random_.in(4, 24)) / (random_.coin() ? 16 : -16));
  }

  OpCase norm() {
    const auto name =
        random_.pick<std::string>({"batch_norm", "batch_norm_inference", "batch_norm_apply"});
    return norm_chain(name, {});
  }

  OpCase fused_norm() {
    std::vector<const FusionPattern*> forward;
    for (const FusionPattern& pattern : patterns_)
      if (pattern.ops[0].starts_with("batch_norm") &&
          std::ranges::none_of(pattern.ops,
                               [](const auto& op) { return op.ends_with("backward"); }))
        forward.push_back(&pattern);
    const size_t turn = seed_ / kKinds * 3 + seed_ % kKinds;  // so that few seeds draw them all
    const FusionPattern& pattern = *forward[turn % forward.size()];
    const std::vector<std::string> ops(pattern.ops.begin(), pattern.ops.end());
    return norm_chain(ops[0], std::span(ops).subspan(1));
  }

  OpCase pool() {
    const TensorType x = map();
    const bool largest = random_.coin();
    OpCase c = make_case({{largest ? "max_pool" : "average_pool", window(x)}}, {x}, "");
    coarse(c, "x", x);
    return c;
  }

  OpCase elementwise() {
    const TensorType x = map();
    const std::vector<std::optional<TensorType>> copies(static_cast<size_t>(random_.in(2, 5)), x);
    switch (random_.in(0, 7)) {
      case 0:
        return make_case({{"relu", {}}}, {x}, "");
      case 1:
        return make_case({{"celu", attributes({{"alpha", 0.075}})}}, {x}, "");
      case 2:
        return make_case({{"gelu", {}}}, {x}, "");
      case 3:
        return make_case({{"scale", attributes({{"factor", -0.375}})}}, {x}, "");
      case 4:
        return make_case({{"scale_by", {}}}, {x, f32({})}, "");
      case 5:
        return make_case({{"channel_sum", {}}}, {x}, "");
      case 6:
        return make_case({{"gelu_backward", {}}, {"channel_sum", {}}}, {x, x}, "");
      default:
        return make_case({{"add", {}}}, copies, "");
    }
  }

  OpCase shape() {
    const TensorType x = map();
    const int64_t axis = random_.in(0, 3);
    const auto at = static_cast<size_t>(axis);
    switch (random_.in(0, 4)) {
      case 0:
        return make_case({{"flatten", {}}}, {x}, "");
      case 1:
        return make_case(
            {{"reshape", attributes({{"shape", std::vector<int64_t>{x.shape[0] * x.shape[1],
                                                                    x.shape[2] * x.shape[3]}}})}},
            {x}, "");
      case 2: {
        TensorType other = x;
        other.shape[at] = random_.in(1, kSide);
        return make_case({{"concat", attributes({{"axis", axis}})}}, {x, other, x}, "");
      }
      case 3: {
        const int64_t start = random_.in(0, x.shape[at] - 1);
        const int64_t length = random_.in(1, x.shape[at] - start);
        return make_case(
            {{"slice", attributes({{"axis", axis}, {"start", start}, {"length", length}})}}, {x},
            fmt::format("axis {} from {} of {}", axis, start, length));
      }
      default:
        return make_case({{"constant", attributes({{"value", 1.5}, {"shape", x.shape}})}}, {}, "");
    }
  }

  OpCase linear() {
    const int64_t n = random_.in(1, kBatch), inputs = random_.in(1, 300);
    const int64_t features = random_.channels();
    const bool bias = random_.coin();
    std::vector<std::optional<TensorType>> types{f32({n, inputs}), f32({features, inputs})};
    if (bias) types.push_back(f32({features}));
    return make_case({{"linear", attributes({{"features", features}, {"bias", bias}})}}, types, "");
  }

  OpCase loss() {
    const int64_t n = random_.in(1, kBatch), classes = random_.channels();
    const TensorType logits = f32({n, classes}), index{DType::i32, {n}};
    OpCase c;
    if (random_.in(0, 3) == 0) {
      c = make_case({{"correct", attributes({{"k", random_.in(1, classes)}})}}, {logits, index},
                    "");
    } else {
      std::vector<std::optional<TensorType>> inputs{logits, index};
      if (random_.coin()) inputs.insert(inputs.end(), 2, index);
      const double smoothing = random_.coin() ? 0.2 : 0.0;
      c = make_case(
          {{"cross_entropy", attributes({{"reduction", random_.pick<std::string>({"mean", "sum"})},
                                         {"label_smoothing", smoothing}})}},
          inputs, fmt::format("smoothing {}", smoothing));
    }
    const double last = static_cast<double>(classes - 1);
    c.ranges = {
        {"logits", {-5, 5}}, {"label", {0, last}}, {"other", {0, last}}, {"weight", {0, 65536}}};
    return c;
  }

  OpCase update() {
    const TensorType x = random_.coin() ? map() : f32({random_.in(1, 5000)});
    const TensorType one = f32({});
    OpCase c;
    switch (random_.in(0, 4)) {
      case 0:
        c = make_case({{"sgd_update", attributes({{"weight_decay", 5e-4}})}}, {x, x, one}, "");
        break;
      case 1:
        c = make_case({{"sgd_update", attributes({{"momentum", 0.9},
                                                  {"nesterov", random_.coin()},
                                                  {"weight_decay", 5e-4}})}},
                      {x, x, one, x}, "");
        break;
      case 2:
        c = make_case({{"adam_update", attributes({{"weight_decay", 0.42}, {"epsilon", 0.1}})}},
                      {x, x, one, one, one, x, x}, "");
        break;
      case 3:
        c = make_case({{"lars_update", attributes({{"weight_decay", 0.01}, {"trust", 0.02}})}},
                      {x, x, one, x}, "");
        break;
      default: {
        const int64_t kernel = random_.in(1, 3);
        const TensorType w = f32({random_.channels(), random_.in(1, 17), kernel, kernel});
        c = make_case({{"muon_update",
                        attributes({{"nesterov", random_.coin()}, {"normalise", random_.coin()}})}},
                      {w, w, one, w}, "");
      }
    }
    c.ranges = {{"square", {0, 1}}, {"beta1", {0.5, 0.95}}, {"lr", {0, 0.1}}};
    c.values["steps"] = {static_cast<double>(random_.in(1, 50))};
    return c;
  }

  /// Averages of states, and what keeps 16-bit training in range.
  OpCase scalars() {
    const TensorType x = map(), one = f32({});
    OpCase c;
    switch (random_.in(0, 4)) {
      case 0:
        c = make_case({{"average_update", {}}}, {x, x, one, one}, "");
        break;
      case 1:
        c = make_case({{"choose", {}}}, {x, x, one}, "");
        break;
      case 2:
        c = make_case({{"unscale", {}}}, {x, one}, "");
        break;
      case 3:
        c = make_case({{"all_finite", {}}}, {x, f32({random_.in(1, 70)}), one}, "");
        if (random_.coin()) {
          std::vector<double>& values = c.values["x"];
          values.assign(static_cast<size_t>(x.elements()), 1);
          values[static_cast<size_t>(random_.in(0, x.elements() - 1))] =
              random_.coin() ? std::nan("") : HUGE_VAL;
        }
        break;
      default:
        c = make_case({{"loss_scale_update", attributes({{"every", int64_t{5}}})}}, {one, one, one},
                      "");
        c.values["steps"] = {static_cast<double>(random_.in(0, 4))};
        c.values["finite"] = {random_.coin() ? 1.0 : 0.0};
    }
    c.values["when"] = {random_.coin() ? 1.0 : 0.0};
    c.ranges = {{"decay", {0, 1}}, {"scale", {1, 100}}};
    return c;
  }

  /// What is done to samples [N, H, W, C].
  OpCase samples() {
    Shape shape = map(random_.pick<int64_t>({1, 3, 3, 4, 17})).shape;
    std::rotate(shape.begin() + 1, shape.begin() + 2, shape.end());
    const int64_t n = shape[0], h = shape[1], w = shape[2], channels = shape[3];
    const TensorType x{random_.coin() ? DType::u8 : DType::f32, shape};
    const std::vector<int64_t> box{random_.in(1, h), random_.in(1, w)};
    const double free = static_cast<double>(std::min(h - box[0], w - box[1]));
    const TensorType place{DType::i32, {n, 2}}, flag{DType::i32, {n, 1}};
    OpCase c;
    switch (random_.in(0, 6)) {
      case 0: {
        std::vector<double> mean, deviation;
        for (int64_t k = 0; k < channels; ++k) {
          mean.push_back(static_cast<double>(random_.in(0, 255)));
          deviation.push_back(static_cast<double>(random_.in(1, 100)));
        }
        return make_case({{"normalise", attributes({{"mean", mean}, {"std", deviation}})}}, {x},
                         "");
      }
      case 1:
        return make_case(
            {{"pad", attributes({{"size",
                                  std::vector<int64_t>{random_.in(0, std::min<int64_t>(h - 1, 4)),
                                                       random_.in(0, std::min<int64_t>(w - 1, 4))}},
                                 {"mode", random_.pick<std::string>({"reflect", "zero"})}})}},
            {x}, "");
      case 2:
        c = make_case({{"random_crop", attributes({{"size", box}})}}, {x, place}, "");
        c.ranges["choice"] = {0, free};
        return c;
      case 3:
        c = make_case({{"random_flip", {}}}, {x, flag}, "");
        c.ranges["choice"] = {0, 1};
        return c;
      case 4:
        c = make_case({{"cutout", attributes({{"size", box}})}}, {x, place}, "");
        c.ranges["choice"] = {0, free};
        return c;
      case 5:
        c = make_case({{"gather", {}}}, {x, TensorType{DType::i32, {random_.in(1, kBatch)}}}, "");
        c.ranges["index"] = {0, static_cast<double>(n - 1)};
        return c;
      default:
        return make_case({{"to_images", {}}}, {x}, "");
    }
  }

  /// What is done to batches of images.
  OpCase images() {
    const TensorType x = map();
    const int64_t n = x.shape[0];
    OpCase c;
    switch (random_.in(0, 2)) {
      case 0: {
        std::vector<int64_t> mirrored, rows, columns;
        for (int64_t k = random_.in(1, 4); k > 0; --k) {
          mirrored.push_back(random_.in(0, 1));
          rows.push_back(random_.in(1 - x.shape[2], x.shape[2] - 1));
          columns.push_back(random_.in(1 - x.shape[3], x.shape[3] - 1));
        }
        return make_case(
            {{"views", attributes({{"mirrored", mirrored}, {"rows", rows}, {"columns", columns}})}},
            {x}, "");
      }
      case 1: {
        const std::vector<double> weights(static_cast<size_t>(random_.in(1, 6)), 0.25);
        const auto views = static_cast<int64_t>(weights.size());
        return make_case({{"average_views", attributes({{"weights", weights}})}},
                         {f32({views * random_.in(1, kBatch), random_.channels()})}, "");
      }
      default:
        c = make_case({{"mixup", {}}},
                      {x, TensorType{DType::i32, {n}}, TensorType{DType::i32, {n, 1}}}, "");
        c.ranges = {{"label", {0, 9}}, {"choice", {32768, 65536}}};
        return c;
    }
  }

  uint32_t seed_;
  Random random_;
  const std::vector<FusionPattern>& patterns_;
  int64_t elements_ = 0, macs_ = 0;
  std::vector<int64_t> tile_;  ///< the windows that a map was cut for
};

}  // namespace

OpCase fuzz_case(uint32_t seed, const std::vector<FusionPattern>& patterns) {
  OpCase c = Draw(seed, patterns).any();
  c.name = fmt::format("seed {}: {}", seed, c.name);
  return c;
}

}  // namespace expgraph::test
