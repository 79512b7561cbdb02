// random_graph_test: random valid graphs, made from the operator records alone, have exact text.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <random>

#include "core/ir/op_schema.h"

using namespace expgraph;

namespace {

/// Adds random nodes to a graph: any operator over any values; what its rules refuse is left out.
class RandomGraph {
  int below(size_t count) { return static_cast<int>(random_() % count); }
  template <typename Range>
  auto pick(const Range& range) {
    return range[static_cast<size_t>(below(range.size()))];
  }

 public:
  explicit RandomGraph(uint32_t seed) : random_(seed), graph_(fmt::format("random {}", seed)) {
    for (const std::string_view type :
         {"f32[4,3,8,8]", "f32[4,10]", "f32[4]", "f32[]", "u8[4,8,8,3]", "i32[4]", "f64[2,3]"}) {
      graph_.add_input(fmt::format("input {}", type), *parse_tensor_type(type));
    }
  }

  Graph grow(int tries, int& refused) {
    for (int k = 0; k < tries; ++k) {
      const OpSchema& op = *pick(all_ops());
      try {
        add(op, k);
      } catch (const Error&) {
        ++refused;
      }
    }
    for (int k = 0; k < 3; ++k) graph_.add_result(fmt::format("result {}", k), any());
    for (const Leaf& leaf : graph_.leaves()) {
      if (leaf.kind == LeafKind::state) graph_.add_update(leaf.value, leaf.value);
    }
    return std::move(graph_);
  }

 private:
  ValueId any() { return {below(graph_.values().size())}; }

  double number() {
    static const std::vector<double> numbers = {0, 1e-5, 0.1, 0.5, 1, 2.5, -3, 1e30};
    return pick(numbers);
  }

  AttributeValue value(const AttributeSchema& schema) {
    const size_t length = 1 + random_() % 3;
    std::vector<double> reals(length);
    std::vector<int64_t> integers(length);
    std::generate(reals.begin(), reals.end(), [&] { return number(); });
    std::generate(integers.begin(), integers.end(), [&] { return below(5); });
    switch (schema.kind) {
      case AttributeKind::boolean:
        return below(2) == 1;
      case AttributeKind::integer:
        return int64_t{below(9)};
      case AttributeKind::real:
        return number();
      case AttributeKind::integers:
        return integers;
      case AttributeKind::reals:
        return reals;
      case AttributeKind::text:
        break;
    }
    return schema.choices.empty() ? std::string("a \"text\"\n") : std::string(pick(schema.choices));
  }

  /// A body of one operator over the values it is to read.
  std::shared_ptr<const Graph> body(const std::vector<ValueId>& inputs) {
    auto body = std::make_shared<Graph>("body");
    for (size_t k = 0; k < inputs.size(); ++k) {
      body->add_input(fmt::format("x{}", k), graph_.type(inputs[k]));
    }
    body->add_result("y", body->add("relu", {{0}}, {}, "inner"));
    return body;
  }

  void add(const OpSchema& op, int number) {
    const std::string path = fmt::format("{}/{}", op.family, number);
    Attributes attributes;
    for (const AttributeSchema& schema : op.attributes) {
      if (!schema.fallback || below(2) == 0)
        attributes.set(std::string(schema.name), value(schema));
    }
    attributes = complete_attributes(op, std::move(attributes));
    std::vector<ValueId> inputs;
    for (const InputSchema& input : op.inputs) {
      const bool wired = input.role == InputRole::value && !input.optional;
      inputs.push_back(!wired                            ? ValueId()
                       : inputs.empty() || below(2) == 0 ? any()
                                                         : inputs.back());
      if (input.variadic && below(2) == 0) inputs.push_back(below(2) == 0 ? inputs[0] : any());
    }
    make_leaves(op, attributes, inputs, path);
    const auto inner = op.takes_body ? body(inputs) : nullptr;
    const NodeId id =
        graph_.add_node(op, std::move(attributes), std::move(inputs), path, {}, inner);
    if (op.gradient != nullptr) differentiate(Node(graph_.node(id)));
  }

  void differentiate(const Node& node) {
    std::vector<ValueId> gradients(node.outputs.size());
    const TensorType type = graph_.type(node.outputs[0]);
    gradients[0] = graph_.add_input(node.path + "/gradient", type);
    const auto wanted = std::make_unique<bool[]>(node.inputs.size());
    for (size_t k = 0; k < node.inputs.size(); ++k) wanted[k] = node.inputs[k].valid();
    const auto found =
        node.op->gradient({graph_, node, gradients, {wanted.get(), node.inputs.size()}});
    for (size_t k = 0; k < found.size(); ++k) {
      if (found[k].valid()) CHECK(graph_.type(found[k]) == graph_.type(node.inputs[k]));
    }
  }

  /// States and choices, as the pipeline makes them.
  void make_leaves(const OpSchema& op, const Attributes& attributes, std::vector<ValueId>& inputs,
                   const std::string& path) {
    std::vector<TensorType> known;
    for (const ValueId id : inputs) known.push_back(id.valid() ? graph_.type(id) : TensorType());
    std::vector<const TensorType*> types;
    for (size_t k = 0; k < inputs.size(); ++k) {
      types.push_back(inputs[k].valid() ? &known[k] : nullptr);
    }
    const InferContext context{op, types, attributes};
    for (size_t k = 0; k < op.inputs.size(); ++k) {
      const std::string name = fmt::format("{}/{}", path, op.inputs[k].name);
      if (op.inputs[k].role == InputRole::choice) {
        const ChoiceRule rule = op.choice(context, k);
        inputs[k] = graph_.add_choice(
            name, {DType::i32, {known[0].shape[0], static_cast<int64_t>(rule.bounds.size())}},
            rule);
      } else if (op.inputs[k].role != InputRole::value) {
        const std::optional<StateRule> rule = op.state(context, k);
        const bool trainable = op.inputs[k].role == InputRole::parameter;
        if (rule) inputs[k] = graph_.add_state(name, rule->type, rule->initialiser, trainable);
      }
    }
  }

  std::mt19937 random_;
  Graph graph_;
};

/// The first line of `a` that `b` has otherwise; "" when they are equal.
std::string first_difference(std::string_view a, std::string_view b) {
  const auto [at, other] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (at == a.end() && other == b.end()) return "";
  const auto start = static_cast<size_t>(at - a.begin());
  const size_t line = start == 0 ? 0 : a.rfind('\n', start - 1) + 1;
  return fmt::format("{}...", a.substr(line, a.find('\n', line) - line));
}

}  // namespace

TEST_CASE("random graphs of every operator verify and round-trip through text") {
  std::map<std::string_view, int> made;
  int refused = 0;
  const auto is_made = [&](const OpSchema* op) { return made[op->name] > 0; };
  for (uint32_t seed = 0; seed < 100 || (seed < 1000 && !std::ranges::all_of(all_ops(), is_made));
       ++seed) {
    CAPTURE(seed);
    const Graph graph = RandomGraph(seed).grow(1000, refused);
    verify(graph);
    const std::string text = to_text(graph);
    const Graph again = parse_graph(text);
    verify(again);
    CHECK(first_difference(to_text(again), text) == "");
    CHECK(again.values().size() == graph.values().size());
    for (const Node& node : graph.nodes()) {
      ++made[node.op->name];
      const Cost cost = cost_of(graph, node);
      CHECK((cost.flops >= 2 * cost.macs && cost.macs >= 0 && cost.bytes >= 0));
    }
  }
  CHECK(refused > 0);
  for (const OpSchema* op : all_ops()) CHECK_MESSAGE(is_made(op), op->name, " was never made");
}

TEST_CASE("a damaged text is an Error at a place or a graph that verifies, nothing else") {
  std::mt19937 random(1);
  int read = 0, refused = 0, unused = 0;
  for (uint32_t seed = 0; seed < 2000; ++seed) {
    CAPTURE(seed);
    std::string text = to_text(RandomGraph(seed).grow(40, unused));
    for (int k = 0; k < 1 + static_cast<int>(seed % 3); ++k) {
      const size_t at = random() % text.size();
      const size_t length = 1 + random() % 8;
      switch (random() % 3) {
        case 0:
          text[at] = static_cast<char>(random() % 256);
          break;
        case 1:
          text.erase(at, length);
          break;
        default:
          text.insert(random() % text.size(), text.substr(at, length));
      }
    }
    try {
      verify(parse_graph(text));
      ++read;
    } catch (const Error& error) {
      CHECK(error.where().line > 0);
      ++refused;
    }
  }
  CHECK(read > 20);
  CHECK(refused > 1000);
}
