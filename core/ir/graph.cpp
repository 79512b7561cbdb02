// graph: adds leaves and nodes one by one, each typed as it is added.
#include "core/ir/graph.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/ir/op_schema.h"

namespace expgraph {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 36;
constexpr int64_t kMaxRank = 8;

/// Shapes come from untrusted numbers: what is too large to exist is refused before anybody
/// multiplies or allocates.
void check_shape(const TensorType& type, std::string_view what) {
  if (type.rank() > kMaxRank) {
    throw Error(fmt::format("{} would have {} dimensions, at most {} are possible", what,
                            type.rank(), kMaxRank));
  }
  for (const int64_t dimension : type.shape) {
    if (dimension < 1) {
      throw Error(
          fmt::format("{} would be {}, every dimension must be at least 1", what, type.str()));
    }
  }
  if (type.elements() > kMaxElements) {
    throw Error(fmt::format("{} would be {}, a tensor may have at most {} elements", what,
                            type.str(), kMaxElements));
  }
}

std::string count_text(size_t count) {
  return fmt::format("{} input{}", count, count == 1 ? "" : "s");
}

/// Pads with absent inputs up to the schema's and checks that only optional ones are absent.
std::vector<ValueId> complete_inputs(const OpSchema& op, std::vector<ValueId> inputs) {
  if (!op.variadic() && inputs.size() > op.inputs.size()) {
    throw Error(
        fmt::format("{} takes {}, got {}", op.name, count_text(op.inputs.size()), inputs.size()));
  }
  if (inputs.size() < op.inputs.size()) inputs.resize(op.inputs.size());
  for (size_t k = 0; k < inputs.size(); ++k) {
    const InputSchema& schema = op.inputs[std::min(k, op.inputs.size() - 1)];
    if (!inputs[k].valid() && !schema.optional) {
      throw Error(fmt::format("{} needs its input '{}'", op.name, schema.name));
    }
  }
  return inputs;
}

}  // namespace

ValueId Graph::add_input(std::string name, TensorType type) {
  return add_leaf({.kind = LeafKind::input, .name = std::move(name)}, std::move(type));
}

ValueId Graph::add_state(std::string name, TensorType type, Initialiser initialiser,
                         bool trainable) {
  return add_leaf({.kind = LeafKind::state,
                   .name = std::move(name),
                   .trainable = trainable,
                   .initialiser = initialiser},
                  std::move(type));
}

ValueId Graph::add_choice(std::string name, TensorType type, ChoiceRule rule) {
  return add_leaf({.kind = LeafKind::choice, .name = std::move(name), .choice = std::move(rule)},
                  std::move(type));
}

ValueId Graph::add_leaf(Leaf leaf, TensorType type) {
  check_shape(type, leaf.name);
  const ValueId id{static_cast<int32_t>(values_.size())};
  const bool is_new = leaf_ids_.emplace(leaf.name, static_cast<int32_t>(leaves_.size())).second;
  EXPGRAPH_CHECK(is_new && "leaf names are unique");
  leaf.value = id;
  values_.push_back({NodeId{}, static_cast<int>(leaves_.size()), std::move(type)});
  leaves_.push_back(std::move(leaf));
  return id;
}

NodeId Graph::add_node(const OpSchema& op, Attributes attributes, std::vector<ValueId> inputs,
                       std::string path, Location where, std::shared_ptr<const Graph> body) {
  try {
    if (body != nullptr && !op.takes_body) throw Error(fmt::format("{} takes no body", op.name));
    inputs = complete_inputs(op, std::move(inputs));
    attributes = complete_attributes(op, std::move(attributes));
    std::vector<const TensorType*> types;
    for (const ValueId input : inputs) {
      EXPGRAPH_CHECK(input.index < static_cast<int32_t>(values_.size()));
      types.push_back(input.valid() ? &type(input) : nullptr);
    }
    std::vector<TensorType> outputs =
        op.infer({.op = op, .inputs = types, .attributes = attributes, .body = body.get()});
    EXPGRAPH_CHECK(op.takes_body || outputs.size() <= op.outputs.size());
    for (size_t k = 0; k < outputs.size(); ++k) {
      const std::string_view name = k < op.outputs.size() ? op.outputs[k].name : "result";
      check_shape(outputs[k], fmt::format("output '{}' of {}", name, op.name));
    }

    const NodeId id{static_cast<int32_t>(nodes_.size())};
    Node node{&op,  std::move(path), std::move(attributes), std::move(inputs), {}, std::move(body),
              where};
    for (TensorType& output : outputs) {
      node.outputs.push_back({static_cast<int32_t>(values_.size())});
      values_.push_back({id, static_cast<int>(node.outputs.size()) - 1, std::move(output)});
    }
    nodes_.push_back(std::move(node));
    return id;
  } catch (Error& error) {
    error.at(where);
    throw;
  }
}

ValueId Graph::add(std::string_view name, std::vector<ValueId> inputs, Attributes attributes,
                   std::string path) {
  return output(add_node(op(name), std::move(attributes), std::move(inputs), std::move(path)));
}

void Graph::add_result(std::string name, ValueId value) {
  EXPGRAPH_CHECK(value.valid() && value.index < static_cast<int32_t>(values_.size()));
  results_.push_back({std::move(name), value});
}

void Graph::add_update(ValueId state, ValueId value) {
  EXPGRAPH_CHECK(is_leaf(state) && leaf(state).kind == LeafKind::state);
  EXPGRAPH_CHECK(type(state) == type(value));
  updates_.push_back({state, value});
}

void Graph::replace_update(ValueId state, ValueId value) {
  const auto update = std::ranges::find(updates_, state, &StateUpdate::state);
  EXPGRAPH_CHECK(update != updates_.end() && type(state) == type(value));
  update->value = value;
}

const Leaf& Graph::leaf(ValueId id) const {
  EXPGRAPH_CHECK(is_leaf(id));
  return leaves_[static_cast<size_t>(value(id).output)];
}

const Leaf* Graph::find_leaf(std::string_view name) const {
  const auto found = leaf_ids_.find(name);
  return found == leaf_ids_.end() ? nullptr : &leaves_[static_cast<size_t>(found->second)];
}

std::vector<std::vector<NodeId>> Graph::consumers() const {
  std::vector<std::vector<NodeId>> readers(values_.size());
  for (size_t k = 0; k < nodes_.size(); ++k) {
    for (const ValueId input : nodes_[k].inputs) {
      if (!input.valid()) continue;
      readers[static_cast<size_t>(input.index)].push_back({static_cast<int32_t>(k)});
    }
  }
  return readers;
}

}  // namespace expgraph
