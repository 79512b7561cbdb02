// lower: a node and what reads its outputs -> its kernel.
#include <fmt/format.h>

#include <algorithm>

#include "backends/libtorch/device.h"

namespace expgraph::libtorch {

const Maker* find_maker(std::string_view op) {
  for (const auto family :
       {adaptive_makers, augment_makers, average_makers, conv_makers, data_makers,
        elementwise_makers, fusion_makers, loss_makers, loss_scale_makers, matmul_makers,
        norm_makers, pool_makers, reduce_makers, shape_makers, update_makers}) {
    const auto found = std::ranges::find(family(), op, &Maker::op);
    if (found != family().end()) return &*found;
  }
  return nullptr;
}

Kernel make_kernel(const Graph& graph, const Node& node, const MemoryPlan* plan, const Uses& uses) {
  const Device& where = device();
  MakerContext context{graph, node, where.at, plan};
  for (const ValueId output : node.outputs) {
    const auto at = static_cast<size_t>(output.index);
    context.result_outputs.push_back(uses.handed_out[at]);
    context.read_outputs.push_back(uses.handed_out[at] || uses.read[at]);
  }
  if (where.cuda != nullptr)
    if (std::optional<Kernel> own = where.cuda->make_kernel(context)) return *std::move(own);
  const Maker* maker = find_maker(node.op->name);
  if (maker == nullptr)
    throw Error(fmt::format("backend 'libtorch' has no kernel for '{}'", node.op->name),
                node.where);
  return maker->make(context);
}

Uses uses_of(const Graph& graph) {
  Uses uses{std::vector<bool>(graph.values().size(), false),
            std::vector<bool>(graph.values().size(), false)};
  const auto mark = [](std::vector<bool>& values, ValueId value) {
    if (value.valid()) values[static_cast<size_t>(value.index)] = true;
  };
  for (const Node& node : graph.nodes())
    for (const ValueId input : node.inputs) mark(uses.read, input);
  for (const Result& result : graph.results()) mark(uses.handed_out, result.value);
  for (const StateUpdate& update : graph.updates()) mark(uses.handed_out, update.value);
  return uses;
}

}  // namespace expgraph::libtorch
