// op_schema: what follows from an operator's record: complete attributes, cost, gradient nodes.
#include "core/ir/op_schema.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "core/support/suggest.h"

namespace expgraph {
namespace {

template <typename Range>
int index_of(const Range& range, std::string_view name) {
  const auto found = std::find_if(range.begin(), range.end(),
                                  [&](const auto& entry) { return entry.name == name; });
  return found == range.end() ? -1 : static_cast<int>(found - range.begin());
}

/// A value of the kind asked for, if `given` can be read so without loss.
std::optional<AttributeValue> converted(const AttributeValue& given, AttributeKind kind) {
  if (given.index() == static_cast<size_t>(kind)) return given;
  const auto* integer = std::get_if<int64_t>(&given);
  const auto* integers = std::get_if<std::vector<int64_t>>(&given);
  const auto* real = std::get_if<double>(&given);
  const auto* reals = std::get_if<std::vector<double>>(&given);
  if (kind == AttributeKind::real && integer) return static_cast<double>(*integer);
  if (kind == AttributeKind::integers && integer) return std::vector<int64_t>{*integer};
  if (kind == AttributeKind::integers && reals && reals->empty()) return std::vector<int64_t>{};
  if (kind == AttributeKind::reals) {
    if (integer) return std::vector<double>{static_cast<double>(*integer)};
    if (real) return std::vector<double>{*real};
    if (integers) return std::vector<double>(integers->begin(), integers->end());
  }
  return std::nullopt;
}

bool finite(const AttributeValue& value) {
  if (const auto* real = std::get_if<double>(&value)) return std::isfinite(*real);
  if (const auto* reals = std::get_if<std::vector<double>>(&value)) {
    return std::all_of(reals->begin(), reals->end(), [](double x) { return std::isfinite(x); });
  }
  return true;
}

AttributeValue checked(const OpSchema& op, const AttributeSchema& schema,
                       const AttributeValue& given) {
  std::optional<AttributeValue> value = converted(given, schema.kind);
  if (!value) {
    throw Error(fmt::format("{} of {} is {}, expected {}", schema.name, op.name, to_text(given),
                            to_string(schema.kind)));
  }
  if (!finite(*value)) {
    throw Error(fmt::format("{} of {} is {}, expected a finite number", schema.name, op.name,
                            to_text(given)));
  }
  if (schema.choices.empty()) return *value;
  const std::string& text = std::get<std::string>(*value);
  if (std::find(schema.choices.begin(), schema.choices.end(), text) == schema.choices.end()) {
    Error error(fmt::format("{} of {} is {}, expected {}", schema.name, op.name, to_text(given),
                            fmt::join(schema.choices, " or ")));
    const std::string near = did_you_mean(text, {schema.choices.begin(), schema.choices.end()});
    if (!near.empty()) error.note(near);
    throw error;
  }
  return *value;
}

Error unknown_attribute(const OpSchema& op, const std::string& name) {
  Error error(fmt::format("{} has no attribute '{}'", op.name, name));
  std::vector<std::string> names;
  for (const AttributeSchema& schema : op.attributes) names.emplace_back(schema.name);
  const std::string near = did_you_mean(name, names);
  if (!near.empty()) {
    error.note(near);
  } else if (!names.empty()) {
    error.note(fmt::format("its attributes are {}", fmt::join(names, ", ")));
  }
  return error;
}

}  // namespace

void InferContext::fail(std::string message) const { throw Error(std::move(message)); }

void InferContext::fail_value(std::string_view attribute, std::string message) const {
  throw AttributeError(std::string(attribute), std::move(message));
}

int OpSchema::input_index(std::string_view input) const { return index_of(inputs, input); }
int OpSchema::output_index(std::string_view output) const { return index_of(outputs, output); }

const AttributeSchema* OpSchema::find_attribute(std::string_view attribute) const {
  const int k = index_of(attributes, attribute);
  return k < 0 ? nullptr : &attributes[static_cast<size_t>(k)];
}

Attributes complete_attributes(const OpSchema& op, Attributes given,
                               const std::function<Location(std::string_view)>& where_of) {
  Attributes complete;
  for (const auto& [name, value] : given) {
    try {
      const AttributeSchema* schema = op.find_attribute(name);
      if (schema == nullptr) throw unknown_attribute(op, name);
      complete.set(name, checked(op, *schema, value));
    } catch (Error& error) {
      if (where_of) error.at(where_of(name));
      throw;
    }
  }
  for (const AttributeSchema& schema : op.attributes) {
    if (complete.has(schema.name)) continue;
    if (!schema.fallback) {
      throw Error(fmt::format("{} needs attribute '{}': {}", op.name, schema.name, schema.doc));
    }
    complete.set(std::string(schema.name), *schema.fallback);
  }
  return complete;
}

NodeId GradientContext::add_node(std::string_view name, std::vector<ValueId> inputs,
                                 Attributes attributes) const {
  return graph.add_node(op(name), std::move(attributes), std::move(inputs), node.path + "/backward",
                        node.where);
}

ValueId GradientContext::add(std::string_view name, std::vector<ValueId> inputs,
                             Attributes attributes) const {
  return graph.output(add_node(name, std::move(inputs), std::move(attributes)));
}

ValueId UpdateContext::add_state(std::string_view name) const {
  // Copies: the new leaf may move the graph's own.
  const TensorType type = graph.type(parameter);
  return graph.add_state(fmt::format("{}/{}", graph.leaf(parameter).name, name), type, {}, false);
}

NodeId UpdateContext::add_node(std::string_view name, std::vector<ValueId> read,
                               Attributes node_attributes) const {
  return graph.add_node(op(name), std::move(node_attributes), std::move(read), std::string(path),
                        where);
}

ValueId AverageContext::add(std::string_view name, std::vector<ValueId> inputs) const {
  return graph.output(graph.add_node(op(name), {}, std::move(inputs), std::string(path), where));
}

Cost cost_of(const Graph& graph, const Node& node) {
  std::vector<const TensorType*> inputs;
  for (const ValueId input : node.inputs) {
    inputs.push_back(input.valid() ? &graph.type(input) : nullptr);
  }
  std::vector<TensorType> outputs;
  for (const ValueId output : node.outputs) outputs.push_back(graph.type(output));
  const InferContext context{
      .op = *node.op, .inputs = inputs, .attributes = node.attributes, .body = node.body.get()};
  if (node.op->cost != nullptr) return node.op->cost(context, outputs);
  Cost cost;
  for (const TensorType* input : inputs) {
    if (input != nullptr) cost.bytes += input->bytes();
  }
  for (const TensorType& output : outputs) {
    cost.bytes += output.bytes();
    cost.flops += output.elements();
  }
  return cost;
}

std::string display_name(const Node& node) {
  return node.body ? node.attributes.text("kind") : std::string(node.op->name);
}

}  // namespace expgraph
