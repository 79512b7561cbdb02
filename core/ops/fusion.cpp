// fusion: several operators run as one, which its body spells out.
#include <fmt/format.h>

#include "core/ops/families.h"
#include "core/ops/rules.h"

namespace expgraph {
namespace {

std::vector<TensorType> infer_fusion(const InferContext& context) {
  if (context.body == nullptr) context.fail("fusion needs a body");
  const Graph& body = *context.body;
  if (body.leaves().size() != context.inputs.size()) {
    context.fail(fmt::format("fusion has {} inputs, its body {}", context.inputs.size(),
                             body.leaves().size()));
  }
  for (size_t k = 0; k < context.inputs.size(); ++k) {
    const TensorType& inner = body.type(body.leaves()[k].value);
    if (inner == context.input(k)) continue;
    context.fail(fmt::format("input {} of fusion is {}, its body expects {}", k + 1,
                             context.input(k).str(), inner.str()));
  }
  if (body.results().empty()) context.fail("the body of fusion has no result");
  std::vector<TensorType> outputs;
  for (const Result& result : body.results()) outputs.push_back(body.type(result.value));
  return outputs;
}

/// The arithmetic of the body; only inputs and outputs are moved, of an input that is gathered what
/// is taken.
Cost cost_fusion(const InferContext& context, std::span<const TensorType> outputs) {
  Cost cost{.bytes = rules::bytes_moved(context, outputs)};
  for (const Node& node : context.body->nodes()) {
    if (node.op->name == "gather" && context.body->is_leaf(node.inputs[0])) {
      cost.bytes +=
          context.body->type(node.outputs[0]).bytes() - context.body->type(node.inputs[0]).bytes();
    }
    const Cost inner = cost_of(*context.body, node);
    cost.macs += inner.macs;
    cost.flops += inner.flops;
  }
  return cost;
}

}  // namespace

std::vector<OpSchema> fusion_ops() {
  return {
      {.name = "fusion",
       .family = "fusion",
       .doc = "Operators that a backend runs as one kernel: inputs are the leaves of its body in "
              "order, outputs the body's results.",
       .internal = true,
       .takes_body = true,
       .inputs = {{.name = "x", .doc = "one a leaf of the body", .variadic = true}},
       .attributes = {{"kind", AttributeKind::text, std::nullopt,
                       "name of the backend's pattern: batch_norm_relu"}},
       .infer = infer_fusion,
       .cost = cost_fusion},
  };
}

}  // namespace expgraph
