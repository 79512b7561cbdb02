// data: from a data set to the batches of a step: samples are [N, H, W, C] until `batch`.
#include <fmt/format.h>

#include "core/ops/families.h"
#include "core/ops/rules.h"

namespace expgraph {
namespace {

using Types = std::vector<TensorType>;

/// Samples u8 or f32 [N, H, W, C].
void require_samples(const InferContext& context) {
  const TensorType& x = context.input(0);
  if (x.rank() != 4) rules::require_rank(context, 0, 4, "[N, H, W, C]");
  if (x.dtype == DType::u8 || x.dtype == DType::f32) return;
  context.fail(fmt::format("{}, {} expects u8 or f32 elements", rules::described(context, 0),
                           context.op.name));
}

Types infer_dataset(const InferContext& context) {
  rules::require_at_least(context, "count", 0);
  rules::require_at_least(context, "seed", 0);
  return {};
}

Types infer_normalise(const InferContext& context) {
  require_samples(context);
  const TensorType& x = context.input(0);
  for (const std::string_view name : {"mean", "std"}) {
    const size_t count = context.attributes.reals(name).size();
    if (static_cast<int64_t>(count) == x.shape[3]) continue;
    context.fail_value(name,
                       fmt::format("{} has length {}, x has {} channels", name, count, x.shape[3]));
  }
  for (const double deviation : context.attributes.reals("std")) {
    if (deviation > 0) continue;
    context.fail_value("std", fmt::format("std is {}, expected more than 0", deviation));
  }
  return {{DType::f32, x.shape}};
}

Types infer_pad(const InferContext& context) {
  require_samples(context);
  const Pair size = rules::require_pair(context, "size", 0);
  TensorType y = context.input(0);
  const bool reflect = context.attributes.text("mode") == "reflect";
  if (reflect && (size.height >= y.shape[1] || size.width >= y.shape[2])) {
    context.fail_value(
        "size", fmt::format("pad by reflection needs a size smaller than the image {}x{}, got {}",
                            y.shape[1], y.shape[2], to_text(context.attributes.integers("size"))));
  }
  y.shape[1] += 2 * size.height;
  y.shape[2] += 2 * size.width;
  return {std::move(y)};
}

/// The size attribute of a box that must lie within an image.
Pair checked_box(const InferContext& context, int64_t least) {
  require_samples(context);
  const Pair size = rules::require_pair(context, "size", least);
  const Shape& x = context.input(0).shape;
  if (size.height > x[1] || size.width > x[2]) {
    context.fail_value("size", fmt::format("{} of {}x{} is larger than the image {}x{}",
                                           context.op.name, size.height, size.width, x[1], x[2]));
  }
  return size;
}

ChoiceRule box_choice(const Shape& x, Pair size) {
  return {.bounds = {x[1] - size.height + 1, x[2] - size.width + 1}};
}

void require_choice(const InferContext& context, int64_t components) {
  rules::require_type(context, 1, {DType::i32, {context.input(0).shape[0], components}},
                      "a row a sample");
}

Types infer_random_crop(const InferContext& context) {
  const Pair size = checked_box(context, 1);
  require_choice(context, 2);
  const TensorType& x = context.input(0);
  return {{x.dtype, {x.shape[0], size.height, size.width, x.shape[3]}}};
}

ChoiceRule choice_random_crop(const InferContext& context, size_t) {
  return box_choice(context.input(0).shape, checked_box(context, 1));
}

Types infer_random_flip(const InferContext& context) {
  require_samples(context);
  require_choice(context, 1);
  return {context.input(0)};
}

ChoiceRule choice_random_flip(const InferContext& context, size_t) {
  require_samples(context);
  const bool alternating = context.attributes.text("mode") == "alternating";
  return {.bounds = {2},
          .kind = alternating ? ChoiceRule::Kind::alternating : ChoiceRule::Kind::uniform};
}

Types infer_cutout(const InferContext& context) {
  checked_box(context, 0);
  require_choice(context, 2);
  return {context.input(0)};
}

ChoiceRule choice_cutout(const InferContext& context, size_t) {
  return box_choice(context.input(0).shape, checked_box(context, 0));
}

Types infer_cache(const InferContext& context) { return {context.input(0)}; }

Types infer_batch(const InferContext& context) {
  require_samples(context);
  rules::require_at_least(context, "size", 1);
  const int64_t size = context.attributes.integer("size");
  TensorType image = context.input(0);
  image.shape[0] = size;
  return {std::move(image), {DType::i32, {size}}};
}

Types infer_gather(const InferContext& context) {
  TensorType y = context.input(0);
  if (y.rank() < 1) {
    context.fail(fmt::format("{}, gather expects [M, ...]", rules::described(context, 0)));
  }
  rules::require_dtype(context, 1, DType::i32);
  rules::require_rank(context, 1, 1, "[B]");
  y.shape[0] = context.input(1).shape[0];
  return {std::move(y)};
}

Cost cost_gather(const InferContext& context, std::span<const TensorType> outputs) {
  return {.bytes = 2 * outputs[0].bytes() + context.input(1).bytes()};
}

Types infer_to_images(const InferContext& context) {
  require_samples(context);
  const Shape& x = context.input(0).shape;
  return {{DType::f32, {x[0], x[3], x[1], x[2]}}};
}

/// Per element: subtract and divide.
Cost cost_normalise(const InferContext& context, std::span<const TensorType> outputs) {
  return rules::flop_cost(context, outputs, rules::product(2, outputs[0].elements()));
}

constexpr InputSchema kSamples = {.name = "x", .doc = "u8 or f32 [N, H, W, C]"};

InputSchema choice_input(std::string_view doc) {
  return {.name = "choice", .doc = doc, .role = InputRole::choice};
}

OpSchema dataset() {
  return {
      .name = "dataset",
      .family = "data",
      .doc = "Images and labels of a data set.",
      .role = OpRole::dataset,
      .outputs = {{.name = "image", .doc = "u8[N, H, W, C]"}, {.name = "label", .doc = "i32[N]"}},
      .attributes = {{"name", AttributeKind::text, std::nullopt, "cifar10 or shapes10"},
                     {"split", AttributeKind::text, std::nullopt, "which part", {"train", "test"}},
                     {"count", AttributeKind::integer, int64_t{0},
                      "samples to use or to generate; 0 = all"},
                     {"seed", AttributeKind::integer, int64_t{0}, "of a generated data set"}},
      .infer = infer_dataset,
      .cost = rules::copy_cost,
      .example = "data: {op: dataset, name: shapes10, split: train}"};
}

std::vector<OpSchema> augmentation_ops() {
  return {
      {.name = "random_crop",
       .family = "data",
       .doc = "A box of `size` at a random place of each image.",
       .role = OpRole::sample,
       .inputs = {kSamples, choice_input("i32[N, 2]: top, left")},
       .outputs = {{.name = "y", .doc = "[N, size, size, C], type as x"}},
       .attributes = {{"size", AttributeKind::integers, std::nullopt,
                       "of the box: one number, or rows and columns"}},
       .infer = infer_random_crop,
       .choice = choice_random_crop,
       .cost = rules::copy_cost,
       .example = "crop: {op: random_crop, size: 32}"},
      {.name = "random_flip",
       .family = "data",
       .doc = "Each image mirrored left to right with probability one half. Alternating: drawn for "
              "the first epoch, the other way round in the second, as in the first in the third, "
              "so that two epochs in turn see both sides of every image (Jordan, 2024, arXiv "
              "2404.00498).",
       .role = OpRole::sample,
       .inputs = {kSamples, choice_input("i32[N, 1]: 1 = mirrored")},
       .outputs = {{.name = "y", .doc = "as x"}},
       .attributes = {{"mode",
                       AttributeKind::text,
                       std::string("random"),
                       "drawn anew each epoch, or every other epoch the other way round",
                       {"random", "alternating"}}},
       .infer = infer_random_flip,
       .choice = choice_random_flip,
       .cost = rules::copy_cost,
       .example = "flip: random_flip"},
      {.name = "cutout",
       .family = "data",
       .doc = "A box of `size` at a random place of each image set to 0, wholly inside (after "
              "DeVries and Taylor, 2017, whose boxes may cross the border).",
       .role = OpRole::sample,
       .inputs = {kSamples, choice_input("i32[N, 2]: top, left")},
       .outputs = {{.name = "y", .doc = "as x"}},
       .attributes = {{"size", AttributeKind::integers, std::nullopt,
                       "of the box: one number, or rows and columns; 0 = none"}},
       .infer = infer_cutout,
       .choice = choice_cutout,
       .cost = rules::copy_cost,
       .example = "cutout: {op: cutout, size: 8}"},
  };
}

}  // namespace

std::vector<OpSchema> data_ops() {
  std::vector<OpSchema> ops = {
      dataset(),
      {.name = "normalise",
       .family = "data",
       .doc = "Channels to mean 0 and deviation 1: y = (x - mean[c]) / std[c].",
       .role = OpRole::sample,
       .inputs = {kSamples},
       .outputs = {{.name = "y", .doc = "f32, shape as x"}},
       .attributes = {{"mean", AttributeKind::reals, std::nullopt, "one a channel"},
                      {"std", AttributeKind::reals, std::nullopt, "one a channel, above 0"}},
       .infer = infer_normalise,
       .cost = cost_normalise,
       .example = "normalise: {op: normalise, mean: [125.31, 122.95, 113.87], "
                  "std: [62.99, 62.09, 66.70]}"},
      {.name = "pad",
       .family = "data",
       .doc = "A border around each image, mirrored without its edge (NumPy's `reflect`) or zero.",
       .role = OpRole::sample,
       .inputs = {kSamples},
       .outputs = {{.name = "y", .doc = "[N, H + 2 size, W + 2 size, C], type as x"}},
       .attributes = {{"size", AttributeKind::integers, std::nullopt,
                       "width of the border: one number, or rows and columns"},
                      {"mode",
                       AttributeKind::text,
                       std::string("reflect"),
                       "what it is filled with",
                       {"reflect", "zero"}}},
       .infer = infer_pad,
       .cost = rules::copy_cost,
       .example = "pad: {op: pad, size: 4}"},
      {.name = "cache",
       .family = "data",
       .doc = "All that comes before is done once, before training, and kept: y = x. LibTorch does "
              "it for every batch instead, in one kernel with what comes after.",
       .role = OpRole::cache,
       .inputs = {{.name = "x", .doc = "samples"}},
       .outputs = {{.name = "y", .doc = "as x"}},
       .infer = infer_cache,
       .cost = rules::copy_cost,
       .example = "cache: cache"},
      {.name = "batch",
       .family = "data",
       .doc = "Samples to steps: `size` samples a step, in a new random order each epoch when "
              "`shuffle` is true.",
       .role = OpRole::batch,
       .inputs = {kSamples},
       .outputs = {{.name = "image", .doc = "[size, H, W, C]; [size, C, H, W] in the step"},
                   {.name = "label", .doc = "i32[size]"}},
       .attributes = {{"size", AttributeKind::integer, std::nullopt, "samples a step"},
                      {"shuffle", AttributeKind::boolean, false, "a new order each epoch"},
                      {"drop_last", AttributeKind::boolean, false,
                       "leave out the last batch of an epoch when it is smaller"}},
       .infer = infer_batch,
       .cost = rules::copy_cost,
       .example = "batch: {op: batch, size: 512, shuffle: true}"},
      {.name = "gather",
       .family = "data",
       .doc = "Rows by number: y[b] = x[index[b]].",
       .internal = true,
       .inputs = {{.name = "x", .doc = "[M, ...]"},
                  {.name = "index", .doc = "i32[B], each 0 to M-1"}},
       .outputs = {{.name = "y", .doc = "[B, ...]"}},
       .infer = infer_gather,
       .cost = cost_gather},
      {.name = "to_images",
       .family = "data",
       .doc = "Samples as the images of a network: [B, H, W, C] -> f32[B, C, H, W].",
       .internal = true,
       .inputs = {{.name = "x", .doc = "u8 or f32 [B, H, W, C]"}},
       .outputs = {{.name = "y", .doc = "f32[B, C, H, W]"}},
       .infer = infer_to_images,
       .cost = rules::copy_cost},
  };
  for (OpSchema& op : augmentation_ops()) ops.push_back(std::move(op));
  return ops;
}

}  // namespace expgraph
