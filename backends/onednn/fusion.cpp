// fusion: a fusion node -> one kernel of its chain, or the kernels of its body one by one over
// temporaries in scratch: what it means does not depend on which chains are known.
#include <cstring>

#include "backends/onednn/kernels.h"

namespace expgraph::onednn {

namespace {

/// All that the body makes lies in scratch, results too: an output may lie over an input.
struct Body {
  Body(std::shared_ptr<const Graph> body, int threads)
      : graph(std::move(body)),
        kernels(lower(*graph, nullptr, threads)),
        offsets(graph->values().size(), -1) {
    ScratchPlan plan;
    int64_t largest = 0;
    for (size_t n = 0; n < kernels.size(); ++n) {
      largest = std::max(largest, kernels[n].scratch_bytes);
      for (ValueId out : graph->nodes()[n].outputs)
        offsets[static_cast<size_t>(out.index)] = plan.add(graph->type(out).bytes());
    }
    kernel_scratch = plan.add(largest);
    bytes = plan.bytes();
  }

  void run(const KernelArgs& args) const {
    const auto view = [&](ValueId value) -> TensorView {
      if (!value.valid()) return {};
      const size_t at = static_cast<size_t>(value.index);
      if (graph->is_leaf(value))
        return {graph->type(value),
                args.inputs[static_cast<size_t>(graph->value(value).output)].data};
      return {graph->type(value), args.scratch + offsets[at]};
    };
    for (size_t n = 0; n < kernels.size(); ++n) {
      std::vector<TensorView> inputs, outputs;
      for (ValueId in : graph->nodes()[n].inputs) inputs.push_back(view(in));
      for (ValueId out : graph->nodes()[n].outputs) outputs.push_back(view(out));
      kernels[n].run({inputs, outputs, args.scratch + kernel_scratch});
    }
    for (size_t k = 0; k < args.outputs.size(); ++k)
      if (args.outputs[k].data)
        std::memcpy(args.outputs[k].data, view(graph->results()[k].value).data,
                    static_cast<size_t>(args.outputs[k].type.bytes()));
  }

  std::shared_ptr<const Graph> graph;
  std::vector<Kernel> kernels;
  std::vector<int64_t> offsets;  // in scratch, per value
  int64_t kernel_scratch = 0, bytes = 0;
};

Made make_fusion(const MakerContext& context) {
  for (const auto make : {make_fused_norm, make_fused_sum, make_fused_conv})
    if (std::optional<Made> fused = make(context)) return *std::move(fused);
  const auto body = std::make_shared<const Body>(context.node.body, context.threads);
  Made made = dense(context, {[body](const KernelArgs& args) { body->run(args); }, body->bytes});
  made.typed = true;  // each kernel of the body has its own conversions
  return made;
}

constexpr Maker kMakers[] = {
    {"fusion", make_fusion},
};

}  // namespace

std::span<const Maker> fusion_makers() { return kMakers; }

}  // namespace expgraph::onednn
