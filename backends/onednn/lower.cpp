// lower: Graph -> one kernel per node. Each value gets a layout when it is made; a reader that
// wants another one has it reordered into scratch before it runs.
#include <fmt/format.h>

#include "backends/onednn/conv.h"
#include "backends/onednn/dnnl.h"
#include "backends/onednn/kernels.h"

namespace expgraph::onednn {

Made dense(const MakerContext& context, Kernel kernel) {
  return {std::move(kernel), std::vector<Layout>(context.node.inputs.size(), Layout::dense),
          std::vector<Layout>(context.node.outputs.size(), Layout::dense)};
}

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

namespace {

size_t at(ValueId value) { return static_cast<size_t>(value.index); }

/// Values that others than kernels read: they lie dense.
std::vector<bool> dense_values(const Graph& graph, const MemoryPlan* plan) {
  std::vector<bool> result(graph.values().size(), false);
  for (size_t v = 0; v < result.size(); ++v)
    result[v] = graph.is_leaf({static_cast<int32_t>(v)}) ||
                (plan && plan->placements[v].kind != Placement::Kind::arena);
  for (const Result& r : graph.results()) result[at(r.value)] = true;
  for (const StateUpdate& update : graph.updates()) result[at(update.value)] = true;
  return result;
}

/// A value of a node that its kernel wants to lie otherwise than it does.
struct Conversion {
  size_t index;
  Reorder reorder;
  int64_t bytes_at, scratch_at;
};

Conversion conversion(size_t index, const TensorType& type, Layout from, Layout to,
                      ScratchPlan& scratch) {
  Reorder reorder(describe(type, from), describe(type, to));
  const int64_t bytes_at = scratch.add(type.bytes());
  const int64_t scratch_at = scratch.add(reorder.scratch_bytes());
  return {index, std::move(reorder), bytes_at, scratch_at};
}

/// The kernel with conversions before and after it.
Kernel convert(Kernel kernel, std::vector<Conversion> before, std::vector<Conversion> after,
               ScratchPlan scratch) {
  const int64_t kernel_at = scratch.add(kernel.scratch_bytes);
  const auto run = [=](const KernelArgs& args) mutable {
    std::vector<TensorView> inputs(args.inputs.begin(), args.inputs.end());
    std::vector<TensorView> outputs(args.outputs.begin(), args.outputs.end());
    for (Conversion& c : before) {
      inputs[c.index].data = args.scratch + c.bytes_at;
      c.reorder.run(args.inputs[c.index].data, inputs[c.index].data, args.scratch + c.scratch_at);
    }
    for (const Conversion& c : after)
      if (args.outputs[c.index].data) outputs[c.index].data = args.scratch + c.bytes_at;
    kernel.run({inputs, outputs, args.scratch + kernel_at});
    for (Conversion& c : after)
      if (args.outputs[c.index].data)
        c.reorder.run(outputs[c.index].data, args.outputs[c.index].data,
                      args.scratch + c.scratch_at);
  };
  return {run, scratch.bytes()};
}

/// For each value that a convolution makes and a fused norm reads, where the one leaves the moments
/// that the other needs. By ValueId.index; null for all others.
std::vector<std::shared_ptr<Moments>> moments_of(const Graph& graph, int threads) {
  std::vector<std::shared_ptr<Moments>> result(graph.values().size());
  for (const Node& node : graph.nodes()) {
    const ValueId x = norm_input(node);
    if (!x.valid() || graph.is_leaf(x)) continue;
    const Node& conv = graph.node(graph.value(x).producer);
    if (conv.op->name != "conv2d" || !gathers_moments(conv_shape({graph, conv, {}, threads})))
      continue;
    result[at(x)] = std::make_shared<Moments>(graph.type(x).shape[1], threads);
  }
  return result;
}

void check_types(const Graph& graph, const Node& node) {
  const auto check = [&](ValueId value) {
    if (!value.valid()) return;
    const DType dtype = graph.type(value).dtype;
    if (is_real(dtype) && dtype != DType::f32)
      throw Error(fmt::format("backend 'onednn' computes in f32, '{}' is over {}", node.op->name,
                              graph.type(value).str()),
                  node.where);
  };
  std::ranges::for_each(node.inputs, check);
  std::ranges::for_each(node.outputs, check);
}

}  // namespace

std::vector<Kernel> lower(const Graph& graph, const MemoryPlan* plan, int threads) {
  const std::vector<bool> stays_dense = dense_values(graph, plan);
  const std::vector<std::shared_ptr<Moments>> moments = moments_of(graph, threads);
  std::vector<Layout> layouts(graph.values().size(), Layout::dense);
  std::vector<Kernel> kernels;
  for (const Node& node : graph.nodes()) {
    check_types(graph, node);
    const Maker* maker = find_maker(node.op->name);
    if (!maker)
      throw Error(fmt::format("backend 'onednn' has no kernel for '{}'", node.op->name),
                  node.where);
    std::vector<Layout> inputs;
    for (ValueId in : node.inputs) inputs.push_back(in.valid() ? layouts[at(in)] : Layout::dense);
    const auto moments_at = [&](ValueId value) {
      return value.valid() ? moments[at(value)] : nullptr;
    };
    const ValueId y = node.outputs.empty() ? ValueId() : node.outputs[0];
    Made made =
        maker->make({graph, node, inputs, threads, moments_at(norm_input(node)), moments_at(y)});
    const bool read = !plan || std::ranges::any_of(node.outputs, [&](ValueId out) {
      return plan->placements[at(out)].kind != Placement::Kind::none;
    });
    if (!read) made.kernel = {[](const KernelArgs&) {}};

    ScratchPlan scratch;
    std::vector<Conversion> before, after;
    for (size_t k = 0; k < node.inputs.size(); ++k) {
      if (!node.inputs[k].valid()) continue;
      const TensorType& type = graph.type(node.inputs[k]);
      if (!same_bytes(inputs[k], made.inputs[k], type))
        before.push_back(conversion(k, type, inputs[k], made.inputs[k], scratch));
    }
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      const ValueId out = node.outputs[k];
      const TensorType& type = graph.type(out);
      layouts[at(out)] = stays_dense[at(out)] ? Layout::dense : made.outputs[k];
      if (!same_bytes(made.outputs[k], layouts[at(out)], type))
        after.push_back(conversion(k, type, made.outputs[k], Layout::dense, scratch));
    }
    if (before.empty() && after.empty())
      kernels.push_back(std::move(made.kernel));
    else
      kernels.push_back(convert(std::move(made.kernel), before, after, scratch));
  }
  return kernels;
}

}  // namespace expgraph::onednn
