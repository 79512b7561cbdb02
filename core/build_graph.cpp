// build_graph: instances of spec nodes -> typed nodes of a Graph.
#include "core/build_graph.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace expgraph {
namespace {

template <typename T>
std::optional<T> parse_number(const yaml::Value& value) {
  if (!value.is_scalar() || value.quoted) return std::nullopt;
  const char* first = value.scalar.data();
  const char* end = first + value.scalar.size();
  if (first != end && *first == '+') ++first;
  T number{};
  const auto [stop, error] = std::from_chars(first, end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  if constexpr (std::is_floating_point_v<T>) {
    if (!std::isfinite(number)) return std::nullopt;
  }
  return number;
}

/// "3", "a list", "'text'": what the user wrote, for "expected ..., got ...".
std::string shown(const yaml::Value& value) {
  switch (value.kind) {
    case yaml::Kind::null:
      return "nothing";
    case yaml::Kind::scalar:
      return fmt::format("'{}'", value.scalar);
    case yaml::Kind::sequence:
      return "a list";
    case yaml::Kind::mapping:
      return "a mapping";
  }
  return "";
}

[[noreturn]] void wrong_kind(const OpSchema& op, const AttributeSchema& schema,
                             const yaml::Value& value) {
  throw Error(fmt::format("attribute '{}' of '{}' is {}, got {}", schema.name, op.name,
                          to_string(schema.kind), shown(value)),
              value.where);
}

template <typename T>
std::vector<T> number_list(const OpSchema& op, const AttributeSchema& schema,
                           const yaml::Value& value) {
  std::vector<T> out;
  const auto push = [&](const yaml::Value& item) {
    const std::optional<T> number = parse_number<T>(item);
    if (!number) wrong_kind(op, schema, item);
    out.push_back(*number);
  };
  if (value.is_sequence()) {
    for (const yaml::Value& item : value.items) push(item);
  } else {
    push(value);
  }
  return out;
}

AttributeValue typed_value(const OpSchema& op, const AttributeSchema& schema,
                           const yaml::Value& value) {
  switch (schema.kind) {
    case AttributeKind::boolean:
      if (value.is_scalar() && !value.quoted) {
        if (value.scalar == "true") return true;
        if (value.scalar == "false") return false;
      }
      break;
    case AttributeKind::integer:
      if (const auto number = parse_number<int64_t>(value)) return *number;
      break;
    case AttributeKind::real:
      if (const auto number = parse_number<double>(value)) return *number;
      break;
    case AttributeKind::text:
      if (value.is_scalar()) return value.scalar;
      break;
    case AttributeKind::integers:
      return number_list<int64_t>(op, schema, value);
    case AttributeKind::reals:
      return number_list<double>(op, schema, value);
  }
  wrong_kind(op, schema, value);
}

bool is_made_when_unwired(const InputSchema& input) { return input.role != InputRole::value; }

}  // namespace

Attributes typed_attributes(const SpecNode& node, const OpSchema& op) {
  Attributes given;
  for (const AttributeSpec& attribute : node.attributes) {
    const AttributeSchema* schema = op.find_attribute(attribute.name);
    EXPGRAPH_CHECK(schema != nullptr);  // the language has checked names of attributes
    given.set(attribute.name, typed_value(op, *schema, attribute.value));
  }
  return complete_attributes(op, std::move(given), [&](std::string_view name) {
    const AttributeSpec* attribute = node.find(name);
    return attribute != nullptr ? attribute->value.where : node.where;
  });
}

void GraphBuilder::define(const Instance& instance, const std::string& output, ValueId value) {
  values_[{instance.node, instance.evaluation}][output] = value;
}

ValueId GraphBuilder::value(const Source& source, const Instance& reader) const {
  const SpecNode& made_by = *source.instance.node;
  const auto found = values_.find({source.instance.node, source.instance.evaluation});
  if (found == values_.end()) {
    throw Error(fmt::format("'{}' reads '{}', which is not a value of a step", reader.path(),
                            source.instance.path()),
                reader.node->where)
        .note(fmt::format("'{}' has op '{}'", made_by.path, made_by.op), made_by.where);
  }
  const auto output = found->second.find(source.output);
  if (output != found->second.end()) return output->second;
  std::vector<std::string> names;
  for (const auto& [name, id] : found->second) {
    if (!name.empty()) names.push_back(name);
  }
  throw Error(fmt::format("'{}' has no output '{}'", made_by.path, source.output),
              reader.node->where)
      .note(fmt::format("'{}' has {}", made_by.op, fmt::join(names, ", ")));
}

std::vector<ValueId> GraphBuilder::wired(const Instance& instance, const OpSchema& op) const {
  std::vector<ValueId> values(op.inputs.size());
  size_t position = 0;
  for (const auto& [name, source] : resolver_.sources(instance)) {
    const ValueId read = value(source, instance);
    if (!name.empty()) {
      const int k = op.input_index(name);
      EXPGRAPH_CHECK(k >= 0);  // the language has checked names of inputs
      values[static_cast<size_t>(k)] = read;
      continue;
    }
    while (position < op.inputs.size() && !op.inputs[position].variadic &&
           values[position].valid()) {
      ++position;
    }
    if (position < op.inputs.size()) {
      values[position] = read;
      if (op.inputs[position].variadic) ++position;
    } else if (op.variadic()) {
      values.push_back(read);
    } else {
      throw Error(fmt::format("op '{}' takes {} input{}, got {}", op.name, op.inputs.size(),
                              op.inputs.size() == 1 ? "" : "s", instance.node->inputs.size()),
                  instance.node->where);
    }
  }
  for (size_t k = 0; k < op.inputs.size(); ++k) {
    const InputSchema& input = op.inputs[k];
    if (!values[k].valid() && !input.optional && !is_made_when_unwired(input)) {
      throw Error(fmt::format("op '{}' needs its input '{}'", op.name, input.name),
                  instance.node->where);
    }
  }
  return values;
}

ValueId GraphBuilder::make_leaf(const Instance& instance, const InferContext& context,
                                size_t input) {
  const InputSchema& schema = context.op.inputs[input];
  // Evaluated again, a node shares the states of the one in its place.
  const std::string name = fmt::format("{}/{}", instance.node->path, schema.name);
  if (const Leaf* leaf = graph_.find_leaf(name)) return leaf->value;
  if (schema.role == InputRole::choice) {
    const ChoiceRule rule = context.op.choice(context, input);
    const int64_t samples = context.input(0).shape[0];
    const auto width = static_cast<int64_t>(rule.bounds.size());
    return graph_.add_choice(name, {DType::i32, {samples, width}}, rule);
  }
  EXPGRAPH_CHECK(context.op.state != nullptr);
  const std::optional<StateRule> rule = context.op.state(context, input);
  if (!rule) return {};
  return graph_.add_state(name, rule->type, rule->initialiser, schema.role == InputRole::parameter);
}

NodeId GraphBuilder::add(const Instance& instance) {
  const SpecNode& spec = *instance.node;
  try {
    const OpSchema& asked = op(spec.op);
    Attributes attributes = typed_attributes(spec, asked);
    std::vector<ValueId> inputs = wired(instance, asked);

    // Copies, as making a leaf may move the graph's own. A rule may read the types of the values
    // only, so those are known before it runs.
    std::vector<TensorType> known;
    for (const ValueId id : inputs) known.push_back(id.valid() ? graph_.type(id) : TensorType());
    std::vector<const TensorType*> types;
    for (size_t k = 0; k < inputs.size(); ++k) {
      types.push_back(inputs[k].valid() ? &known[k] : nullptr);
    }
    for (size_t k = 0; k < asked.inputs.size(); ++k) {
      if (inputs[k].valid() || !is_made_when_unwired(asked.inputs[k])) continue;
      inputs[k] = make_leaf(instance, {asked, types, attributes}, k);
    }

    const OpSchema* stands_in = &asked;
    if (evaluation_ && !asked.evaluation_op.empty()) {
      stands_in = &op(asked.evaluation_op);
      Attributes kept;
      for (const AttributeSchema& attribute : stands_in->attributes) {
        if (const AttributeValue* value = attributes.find(attribute.name)) {
          kept.set(std::string(attribute.name), *value);
        }
      }
      std::vector<ValueId> read;
      for (const InputSchema& input : stands_in->inputs) {
        const int k = asked.input_index(input.name);
        EXPGRAPH_CHECK(k >= 0);
        read.push_back(inputs[static_cast<size_t>(k)]);
      }
      attributes = std::move(kept);
      inputs = std::move(read);
    }

    const NodeId node = graph_.add_node(*stands_in, std::move(attributes), std::move(inputs),
                                        instance.path(), spec.where);
    for (size_t k = 0; k < stands_in->outputs.size(); ++k) {
      const OutputSchema& output = stands_in->outputs[k];
      const ValueId made = graph_.output(node, static_cast<int>(k));
      if (k == 0) define(instance, "", made);
      define(instance, std::string(output.name), made);
      if (output.updates.empty()) continue;
      const ValueId state =
          graph_.node(node).inputs[static_cast<size_t>(stands_in->input_index(output.updates))];
      if (graph_.is_leaf(state) && graph_.leaf(state).kind == LeafKind::state) {
        graph_.add_update(state, made);
      }
    }
    return node;
  } catch (const AttributeError& error) {
    const AttributeSpec* attribute = spec.find(error.attribute());
    if (attribute == nullptr) throw located(error, spec);
    throw located(Error(error.what(), attribute->value.where), spec);
  } catch (const Error& error) {
    throw located(error, spec);
  }
}

}  // namespace expgraph
