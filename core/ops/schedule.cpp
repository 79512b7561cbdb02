// schedule: scalars that are known for every step in advance.
#include <fmt/format.h>

#include <algorithm>

#include "core/ops/families.h"
#include "core/ops/rules.h"

namespace expgraph {
namespace {

std::vector<TensorType> infer_piecewise_linear(const InferContext& context) {
  const std::vector<double>& epochs = context.attributes.reals("epochs");
  const std::vector<double>& values = context.attributes.reals("values");
  if (epochs.empty()) context.fail("epochs is empty, expected at least one knot");
  if (epochs.size() != values.size()) {
    context.fail(fmt::format("epochs has {} knots, values has {}", epochs.size(), values.size()));
  }
  if (epochs.front() < 0) {
    context.fail(fmt::format("epochs starts at {}, expected at least 0", epochs.front()));
  }
  for (size_t k = 1; k < epochs.size(); ++k) {
    if (epochs[k] > epochs[k - 1]) continue;
    context.fail(fmt::format("epochs must increase, {} follows {}", epochs[k], epochs[k - 1]));
  }
  return {{DType::f32, {}}};
}

double piecewise_linear(const Attributes& attributes, double epoch) {
  const std::vector<double>& epochs = attributes.reals("epochs");
  const std::vector<double>& values = attributes.reals("values");
  const auto next = std::upper_bound(epochs.begin(), epochs.end(), epoch);
  if (next == epochs.begin()) return values.front();
  if (next == epochs.end()) return values.back();
  const auto k = static_cast<size_t>(next - epochs.begin());
  const double part = (epoch - epochs[k - 1]) / (epochs[k] - epochs[k - 1]);
  return values[k - 1] + part * (values[k] - values[k - 1]);
}

}  // namespace

std::vector<OpSchema> schedule_ops() {
  return {
      {.name = "piecewise_linear",
       .family = "schedule",
       .doc =
           "Straight lines between knots (epoch, value), constant before the first and after the "
           "last; 0.5 is half through the first epoch.",
       .role = OpRole::schedule,
       .outputs = {{.name = "value", .doc = "scalar, one a step"}},
       .attributes = {{"epochs", AttributeKind::reals, std::nullopt, "knots, increasing"},
                      {"values", AttributeKind::reals, std::nullopt, "value at each knot"}},
       .infer = infer_piecewise_linear,
       .schedule = piecewise_linear,
       .cost = rules::copy_cost,
       .example = "lr: {op: piecewise_linear, epochs: [0, 5, 24], values: [0, 0.4, 0]}"},
  };
}

}  // namespace expgraph
