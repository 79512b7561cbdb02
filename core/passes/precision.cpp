// precision: a forward graph in f32 -> the same over 16-bit values, casts explicit, masters in f32.
#include "core/passes/precision.h"

#include <algorithm>
#include <map>

#include "core/ir/op_schema.h"
#include "core/passes/passes.h"

namespace expgraph {
namespace {

class Lowering {
 public:
  Lowering(const Graph& from, DType compute) : from_(from), compute_(compute), rewriter_(from) {}

  void run() {
    for (const Node& node : from_.nodes()) add(node);
  }

  /// The value in the type that it had.
  ValueId original(ValueId value) {
    const ValueId now = rewriter_.map(value);
    return in_type(now, from_.type(value).dtype, {});
  }

  Graph finish() {
    for (const Result& result : from_.results()) {
      rewriter_.graph().add_result(result.name, original(result.value));
    }
    for (const StateUpdate& update : from_.updates()) {
      rewriter_.graph().add_update(original(update.state), original(update.value));
    }
    return std::move(rewriter_.graph());
  }

 private:
  const Graph& to() { return rewriter_.graph(); }

  /// The value, or the cast of it that there is, or a new one.
  ValueId in_type(ValueId value, DType dtype, const Location& where) {
    if (to().type(value).dtype == dtype) return value;
    const auto [found, is_new] = casts_.try_emplace({value, dtype});
    if (!is_new) return found->second;
    const std::string path =
        to().is_leaf(value) ? to().leaf(value).name : to().node(to().value(value).producer).path;
    Attributes attributes;
    attributes.set("dtype", std::string(to_string(dtype)));
    const NodeId cast = rewriter_.graph().add_node(op("cast"), std::move(attributes), {value},
                                                   path + "/cast", where);
    return found->second = to().output(cast);
  }

  /// The type that each input of the node gets; nothing when the operator does not take them.
  std::optional<std::vector<DType>> types_of_inputs(const Node& node) {
    const OpSchema& schema = *node.op;
    if (schema.role == OpRole::metric) return std::nullopt;
    std::vector<TensorType> types;
    std::vector<const TensorType*> pointers;
    types.reserve(node.inputs.size());
    for (size_t k = 0; k < node.inputs.size(); ++k) {
      if (!node.inputs[k].valid()) {
        types.emplace_back();
        pointers.push_back(nullptr);
        continue;
      }
      TensorType type = from_.type(node.inputs[k]);
      const InputRole role = schema.inputs[std::min(k, schema.inputs.size() - 1)].role;
      // A scalar weighs a whole tensor, and costs nothing in f32.
      if (type.dtype == DType::f32 && type.rank() > 0 && role != InputRole::statistic) {
        type.dtype = compute_;
        if (role == InputRole::parameter && schema.state != nullptr) {
          const auto rule = schema.state({schema, pointers, node.attributes}, k);
          if (rule) type.dtype = rule->type.dtype;
        }
      }
      types.push_back(std::move(type));
      pointers.push_back(&types.back());
    }
    try {
      schema.infer({schema, pointers, node.attributes, node.body.get()});
    } catch (const Error&) {
      return std::nullopt;
    }
    std::vector<DType> out;
    for (const TensorType& type : types) out.push_back(type.dtype);
    return out;
  }

  void add(const Node& node) {
    const auto types = types_of_inputs(node);
    std::vector<ValueId> inputs;
    for (size_t k = 0; k < node.inputs.size(); ++k) {
      const ValueId input = node.inputs[k];
      if (!input.valid()) {
        inputs.emplace_back();
        continue;
      }
      const DType dtype = types ? (*types)[k] : from_.type(input).dtype;
      inputs.push_back(in_type(rewriter_.map(input), dtype, node.where));
    }
    const NodeId now = rewriter_.graph().add_node(*node.op, node.attributes, std::move(inputs),
                                                  node.path, node.where, node.body);
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      rewriter_.set(node.outputs[k], to().output(now, static_cast<int>(k)));
    }
  }

  const Graph& from_;
  DType compute_;
  Rewriter rewriter_;
  std::map<std::pair<ValueId, DType>, ValueId> casts_;
};

constexpr std::pair<std::string_view, DType> kNames[] = {
    {"fp32", DType::f32}, {"bf16", DType::bf16}, {"fp16", DType::f16}};

}  // namespace

std::optional<DType> parse_precision(std::string_view name) {
  for (const auto& [text, dtype] : kNames) {
    if (text == name) return dtype;
  }
  return std::nullopt;
}

std::string_view precision_name(DType dtype) {
  for (const auto& [text, known] : kNames) {
    if (known == dtype) return text;
  }
  return to_string(dtype);
}

const std::vector<std::string>& precision_names() {
  static const std::vector<std::string> names{"fp32", "bf16", "fp16"};
  return names;
}

Graph precision(const Graph& graph, DType compute, std::span<ValueId> followed) {
  EXPGRAPH_CHECK(compute == DType::f16 || compute == DType::bf16);
  Lowering lowering(graph, compute);
  lowering.run();
  for (ValueId& value : followed) value = lowering.original(value);
  return lowering.finish();
}

}  // namespace expgraph
