// fusion: a fusion node -> the kernels of its body, one by one.
#include <algorithm>

#include "backends/libtorch/kernels.h"
#include "core/passes/analysis.h"

namespace expgraph::libtorch {

namespace {

/// Where the values of the body lie that end in a state which the fusion reads: all of them in it.
MemoryPlan plan_body(const MakerContext& context) {
  const Graph& body = *context.node.body;
  MemoryPlan plan;
  plan.placements.resize(body.values().size());
  for (size_t i = 0; i < body.leaves().size(); ++i) {
    const std::vector<ValueId> path = in_place_path(body, i);
    if (path.empty()) continue;
    const auto result = std::ranges::find(body.results(), path.back(), &Result::value);
    if (!context.over(static_cast<size_t>(result - body.results().begin()), i)) continue;
    for (const ValueId value : path)
      plan.placements[static_cast<size_t>(value.index)] = {.kind = Placement::Kind::state,
                                                           .leaf = path.front()};
  }
  return plan;
}

class Body {
 public:
  explicit Body(const MakerContext& context) : body_(context.node.body) {
    Uses uses = uses_of(*body_);
    // What the body hands to its fusion is handed out of the program only where that is.
    for (size_t k = 0; k < body_->results().size(); ++k) {
      const auto value = static_cast<size_t>(body_->results()[k].value.index);
      uses.handed_out[value] = context.result_outputs[k];
      uses.read[value] = uses.read[value] || context.read(k);
    }
    const MemoryPlan plan = plan_body(context);
    for (const Node& node : body_->nodes())
      kernels_.push_back(make_kernel(*body_, node, &plan, uses));
  }

  Tensors run(std::span<const at::Tensor> inputs) const {
    Tensors values(body_->values().size());
    for (const Leaf& leaf : body_->leaves())
      values[at(leaf.value)] = inputs[static_cast<size_t>(body_->value(leaf.value).output)];
    for (size_t n = 0; n < kernels_.size(); ++n) {
      const Node& node = body_->nodes()[n];
      Tensors arguments;
      for (const ValueId input : node.inputs)
        arguments.push_back(input.valid() ? values[at(input)] : at::Tensor());
      Tensors made = kernels_[n](arguments);
      for (size_t k = 0; k < node.outputs.size(); ++k)
        values[at(node.outputs[k])] = std::move(made[k]);
    }
    Tensors results;
    for (const Result& result : body_->results()) results.push_back(values[at(result.value)]);
    return results;
  }

 private:
  static size_t at(ValueId value) { return static_cast<size_t>(value.index); }

  std::shared_ptr<const Graph> body_;
  std::vector<Kernel> kernels_;
};

Kernel make_fusion(const MakerContext& context) {
  return [body = Body(context)](std::span<const at::Tensor> in) { return body.run(in); };
}

constexpr Maker kMakers[] = {
    {"fusion", make_fusion},
};

}  // namespace

std::span<const Maker> fusion_makers() { return kMakers; }

}  // namespace expgraph::libtorch
