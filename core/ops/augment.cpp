// augment: what is done to the images of a batch in the step: views for the evaluation, mixtures
// for training.
#include <fmt/format.h>

#include "core/ops/families.h"
#include "core/ops/rules.h"

namespace expgraph {
namespace {

using Types = std::vector<TensorType>;

constexpr int64_t kMixtures = 65536;  // steps of a mixture's weight

void require_images(const InferContext& context) {
  rules::require_dtype(context, 0, DType::f32);
  rules::require_rank(context, 0, 4, "[N, C, H, W]");
}

Types infer_views(const InferContext& context) {
  require_images(context);
  TensorType y = context.input(0);
  const std::vector<int64_t>& mirrored = context.attributes.integers("mirrored");
  for (const int64_t flag : mirrored) {
    if (flag != 0 && flag != 1) context.fail(fmt::format("mirrored has {}, expected 0 or 1", flag));
  }
  const int64_t sizes[] = {y.shape[2], y.shape[3]};
  const std::string_view names[] = {"rows", "columns"};
  for (size_t k = 0; k < 2; ++k) {
    const std::vector<int64_t>& shifts = context.attributes.integers(names[k]);
    if (!shifts.empty() && shifts.size() != mirrored.size()) {
      context.fail(fmt::format("mirrored has {} views, {} has {}", mirrored.size(), names[k],
                               shifts.size()));
    }
    for (const int64_t shift : shifts) {
      if (shift > -sizes[k] && shift < sizes[k]) continue;
      context.fail(fmt::format("a shift of {} {} is not smaller than the image, which has {}",
                               shift, names[k], sizes[k]));
    }
  }
  y.shape[0] *= static_cast<int64_t>(mirrored.size());
  return {std::move(y)};
}

Types infer_average_views(const InferContext& context) {
  rules::require_float(context, 0);
  rules::require_rank(context, 0, 2, "[V N, K]");
  TensorType y = context.input(0);
  const auto views = static_cast<int64_t>(context.attributes.reals("weights").size());
  if (views == 0 || y.shape[0] % views != 0) {
    context.fail(fmt::format("{} rows are not those of {} views", y.shape[0], views));
  }
  y.shape[0] /= views;
  return {std::move(y)};
}

void check_alpha(const InferContext& context) {
  const double alpha = context.attributes.real("alpha");
  if (alpha <= 0) context.fail(fmt::format("alpha is {}, expected more than 0", alpha));
}

Types infer_mixup(const InferContext& context) {
  require_images(context);
  check_alpha(context);
  const int64_t samples = context.input(0).shape[0];
  rules::require_type(context, 1, {DType::i32, {samples}}, "one a sample");
  rules::require_type(context, 2, {DType::i32, {samples, 1}}, "a row a sample");
  return {context.input(0), {DType::i32, {samples}}, {DType::i32, {samples}}};
}

ChoiceRule choice_mixup(const InferContext& context, size_t) {
  require_images(context);
  check_alpha(context);
  return {.bounds = {kMixtures + 1},
          .kind = ChoiceRule::Kind::beta,
          .alpha = context.attributes.real("alpha")};
}

/// Per element: two products and a sum.
Cost cost_mixup(const InferContext& context, std::span<const TensorType> outputs) {
  return rules::flop_cost(context, outputs, rules::product(3, outputs[0].elements()));
}

/// Per row: a product and a sum for each class.
Cost cost_average(const InferContext& context, std::span<const TensorType> outputs) {
  return rules::flop_cost(context, outputs, rules::product(2, context.input(0).elements()));
}

}  // namespace

std::vector<OpSchema> augment_ops() {
  return {
      {.name = "views",
       .family = "augment",
       .doc = "Several views of each image, one after another along the batch: view v is the image "
              "moved up by rows[v] and left by columns[v], mirrored at its border (without its "
              "edge), then left to right where mirrored[v] is 1. The network runs over all of them "
              "at once; average_views brings them together again.",
       .inputs = {{.name = "x", .doc = "f32[N, C, H, W]"}},
       .outputs = {{.name = "y", .doc = "[V N, C, H, W], all of the first view first"}},
       .attributes =
           {{"mirrored", AttributeKind::integers, std::vector<int64_t>{0, 1}, "one a view: 0 or 1"},
            {"rows", AttributeKind::integers, std::vector<int64_t>{}, "one a view; empty: 0"},
            {"columns", AttributeKind::integers, std::vector<int64_t>{}, "one a view; empty: 0"}},
       .infer = infer_views,
       .cost = rules::copy_cost,
       .example = "views: {op: views, mirrored: [0, 1, 0, 0], rows: [0, 0, -1, 1]}"},
      {.name = "average_views",
       .family = "augment",
       .doc =
           "Weighted sum over the views of each sample: y[n] = sum over v of weights[v] * x[v * N "
           "+ n].",
       .inputs = {{.name = "x", .doc = "[V N, K]"}},
       .outputs = {{.name = "y", .doc = "[N, K]"}},
       .attributes = {{"weights", AttributeKind::reals, std::vector<double>{0.5, 0.5},
                       "one a view"}},
       .infer = infer_average_views,
       .cost = cost_average,
       .example = "average: {op: average_views, weights: [0.5, 0.5]}"},
      {.name = "mixup",
       .family = "augment",
       .doc =
           "Each image mixed with the next of its batch, the last with the first (mixup; Zhang et "
           "al., 2018): w * x[n] + (1 - w) * x[n + 1], w the larger part of a draw from "
           "Beta(alpha, alpha), in steps of 1 / 65536.",
       .inputs = {{.name = "x", .doc = "f32[N, C, H, W]"},
                  {.name = "label", .doc = "i32[N]"},
                  {.name = "choice", .doc = "i32[N, 1]: w in 65536ths", .role = InputRole::choice}},
       .outputs = {{.name = "image", .doc = "as x"},
                   {.name = "other", .doc = "i32[N], labels of the images mixed in"},
                   {.name = "weight", .doc = "i32[N], w in 65536ths"}},
       .attributes = {{"alpha", AttributeKind::real, 0.4, "of the Beta distribution"}},
       .infer = infer_mixup,
       .choice = choice_mixup,
       .cost = cost_mixup,
       .example = "mix: {op: mixup, alpha: 0.4, inputs: [batch, batch/label]}"},
  };
}

}  // namespace expgraph
