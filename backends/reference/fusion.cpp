// fusion: the meaning of a fusion node is its body. The body's nodes run one by one; all they make
// lies in scratch and the results are copied out at the end, so that an output may lie over an
// input.
#include <algorithm>
#include <cstring>

#include "backends/reference/kernels.h"

namespace expgraph::reference {

namespace {

struct Body {
  struct Step {
    Kernel kernel;
    std::vector<TensorView> inputs, outputs;
  };

  explicit Body(const Graph& body) : graph(body), offsets(body.values().size(), -1) {
    for (const Node& node : body.nodes()) {
      Step& step = steps.emplace_back(make_kernel(body, node));
      inner_bytes = std::max(inner_bytes, step.kernel.scratch_bytes);
      for (ValueId in : node.inputs)
        step.inputs.push_back({in.valid() ? body.type(in) : TensorType{}});
      for (ValueId out : node.outputs) {
        step.outputs.push_back({body.type(out)});
        offsets[static_cast<size_t>(out.index)] = bytes;
        bytes += (body.type(out).bytes() + 63) / 64 * 64;
      }
    }
  }

  void run(const KernelArgs& args) {
    const auto place = [&](ValueId value) -> void* {
      if (!value.valid()) return nullptr;
      if (graph.is_leaf(value))
        return args.inputs[static_cast<size_t>(graph.value(value).output)].data;
      return args.scratch + offsets[static_cast<size_t>(value.index)];
    };
    for (size_t n = 0; n < steps.size(); ++n) {
      const Node& node = graph.nodes()[n];
      for (size_t k = 0; k < node.inputs.size(); ++k)
        steps[n].inputs[k].data = place(node.inputs[k]);
      for (size_t k = 0; k < node.outputs.size(); ++k)
        steps[n].outputs[k].data = place(node.outputs[k]);
      steps[n].kernel.run({steps[n].inputs, steps[n].outputs, args.scratch + bytes});
    }
    for (size_t k = 0; k < args.outputs.size(); ++k)
      if (args.outputs[k].data)
        std::memcpy(args.outputs[k].data, place(graph.results()[k].value),
                    static_cast<size_t>(args.outputs[k].type.bytes()));
  }

  const Graph& graph;
  std::vector<int64_t> offsets;  // in scratch, per value
  std::vector<Step> steps;
  int64_t bytes = 0;        // of the values
  int64_t inner_bytes = 0;  // scratch of the kernels, behind them
};

}  // namespace

Kernel make_fusion_kernel(const Node& node) {
  auto body = std::make_shared<Body>(*node.body);
  return {[body](const KernelArgs& args) { body->run(args); }, body->bytes + body->inner_bytes};
}

}  // namespace expgraph::reference
