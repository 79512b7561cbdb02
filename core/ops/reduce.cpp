// reduce: sums over axes.
#include "core/ops/families.h"
#include "core/ops/rules.h"

namespace expgraph {
namespace {

std::vector<TensorType> infer_channel_sum(const InferContext& context) {
  rules::require_channels(context, 0);
  return {{context.input(0).dtype, {context.input(0).shape[1]}}};
}

Cost cost_channel_sum(const InferContext& context, std::span<const TensorType> outputs) {
  return rules::flop_cost(context, outputs, context.input(0).elements());
}

}  // namespace

std::vector<OpSchema> reduce_ops() {
  return {
      {.name = "channel_sum",
       .family = "reduce",
       .doc = "Sum over all axes but the channels: the gradient of a bias.",
       .internal = true,
       .inputs = {{.name = "x", .doc = "[N, C] or [N, C, H, W]"}},
       .outputs = {{.name = "y", .doc = "[C]"}},
       .infer = infer_channel_sum,
       .cost = cost_channel_sum},
  };
}

}  // namespace expgraph
