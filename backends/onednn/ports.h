// ports: values of a fusion's body -> inputs and outputs of the fusion; of a plain node, its own.
#pragma once

#include <algorithm>

#include "backends/onednn/kernels.h"

namespace expgraph::onednn {

class Ports {
 public:
  explicit Ports(const MakerContext& context)
      : node_(context.node), body_(context.node.body.get()), graph_(context.graph) {}

  const TensorType& type(ValueId value) const { return (body_ ? *body_ : graph_).type(value); }
  /// Which input of the node the value is; -1 for one that is absent.
  int input(ValueId value) const {
    if (!value.valid()) return -1;
    return body_ ? body_->value(value).output : index_of(node_.inputs, value);
  }
  /// Which output of the node the value is; -1 when it is none.
  int output(ValueId value) const {
    if (!body_) return index_of(node_.outputs, value);
    const auto found = std::ranges::find(body_->results(), value, &Result::value);
    return found == body_->results().end() ? -1
                                           : static_cast<int>(found - body_->results().begin());
  }
  /// How often the body reads the value.
  int64_t readers(ValueId value) const {
    int64_t count = 0;
    for (const Node& node : body_->nodes()) count += std::ranges::count(node.inputs, value);
    return count;
  }
  /// Whether the body's node takes its inputs from `first` on from outside.
  bool all_leaves(const Node& node, size_t first) const {
    return std::all_of(node.inputs.begin() + static_cast<std::ptrdiff_t>(first), node.inputs.end(),
                       [&](ValueId input) { return !input.valid() || body_->is_leaf(input); });
  }

 private:
  static int index_of(const std::vector<ValueId>& values, ValueId value) {
    const auto found = std::ranges::find(values, value);
    return found == values.end() ? -1 : static_cast<int>(found - values.begin());
  }

  const Node& node_;
  const Graph* body_;
  const Graph& graph_;
};

}  // namespace expgraph::onednn
