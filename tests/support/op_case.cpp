// op_case: tests/ops/<family>.yaml -> graphs of an operator (or a chain of them), forward and
// backward, and the values that go in.
#include "tests/support/op_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <random>
#include <sstream>

#include "core/build_graph.h"
#include "core/passes/passes.h"
#include "core/support/half.h"

namespace expgraph::test {

namespace {

/// A 16-bit number as it lies in memory.
template <float (*kToFloat)(uint16_t), uint16_t (*kFromFloat)(float)>
struct Short {
  explicit Short(double x) : bits(kFromFloat(static_cast<float>(x))) {}
  explicit operator double() const { return double{kToFloat(bits)}; }
  uint16_t bits;
};

/// Calls f with a null pointer of the C++ type of the elements.
template <typename F>
auto with_type(DType dtype, F f) {
  switch (dtype) {
    case DType::f64:
      return f(static_cast<double*>(nullptr));
    case DType::bf16:
      return f(static_cast<Short<bf16_to_float, float_to_bf16>*>(nullptr));
    case DType::f16:
      return f(static_cast<Short<f16_to_float, float_to_f16>*>(nullptr));
    case DType::i32:
      return f(static_cast<int32_t*>(nullptr));
    case DType::u8:
      return f(static_cast<uint8_t*>(nullptr));
    default:
      EXPGRAPH_CHECK(dtype == DType::f32);
      return f(static_cast<float*>(nullptr));
  }
}

std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::vector<double> numbers(const yaml::Value& list) {
  std::vector<double> numbers;
  for (const yaml::Value& item : list.items) numbers.push_back(std::stod(item.scalar));
  return numbers;
}

std::vector<std::string> scalars(const yaml::Value& list) {
  std::vector<std::string> scalars;
  for (const yaml::Value& item : list.items) scalars.push_back(item.scalar);
  return scalars;
}

std::map<std::string, std::vector<double>> named_numbers(const yaml::Value& mapping) {
  std::map<std::string, std::vector<double>> named;
  for (const yaml::Entry& entry : mapping.entries) named[entry.key] = numbers(entry.value);
  return named;
}

/// The attributes of a case, each given to the ops that have one of that name.
std::vector<Attributes> attributes_of(const std::vector<const OpSchema*>& ops,
                                      const yaml::Value* with) {
  std::vector<Attributes> attributes;
  for (const OpSchema* op : ops) {
    SpecNode node;
    node.op = op->name;
    if (with)
      for (const yaml::Entry& entry : with->entries)
        if (ops.size() == 1 || op->find_attribute(entry.key))
          node.attributes.push_back({entry.key, entry.value, entry.where});
    attributes.push_back(typed_attributes(node, *op));
  }
  return attributes;
}

OpCase read_op_case(const yaml::Value& value) {
  OpCase c;
  const yaml::Entry& first = value.entries.at(0);
  const std::filesystem::path file = first.where.source->name;
  c.name = fmt::format("{}:{}: {}", file.filename().string(), first.where.line, first.key);
  for (const std::string& name : words(first.key)) c.ops.push_back(&op(name));
  for (const std::string& word : words(first.value.scalar)) {
    c.inputs.push_back(word == "-" ? std::nullopt : parse_tensor_type(word));
    if (word != "-" && !c.inputs.back()) throw Error("not a type: " + word, first.value.where);
  }
  c.attributes = attributes_of(c.ops, value.find("with"));
  for (const yaml::Entry& entry : value.entries) {
    if (entry.key == "ranges")
      c.ranges = named_numbers(entry.value);
    else if (entry.key == "values")
      c.values = named_numbers(entry.value);
    else if (entry.key == "expect")
      c.expect = named_numbers(entry.value);
    else if (entry.key == "tolerance")
      c.tolerance = std::stod(entry.value.scalar);
    else if (entry.key == "fused")
      c.fused = scalars(entry.value);
    else if (entry.key == "target")
      c.target = entry.value.scalar;
    else if (entry.key == "wires")
      for (const yaml::Value& list : entry.value.items) c.wires.push_back(scalars(list));
    else if (entry.key == "kept")
      for (const double op : numbers(entry.value)) c.kept.insert(static_cast<size_t>(op));
    else if (&entry != &first && entry.key != "with")
      throw Error("a case has no '" + entry.key + "'", entry.where);
  }
  return c;
}

/// The name of input k of a case.
std::string input_name(const OpCase& c, size_t k) {
  const auto& schemas = c.ops[0]->inputs;
  if (k < schemas.size()) return std::string(schemas[k].name);
  if (c.wires.empty()) return fmt::format("{}{}", schemas.back().name, k);  // a variadic one
  std::vector<std::string> names;
  for (const std::vector<std::string>& wires : c.wires)
    for (const std::string& wire : wires)
      if (std::isdigit(wire[0]) == 0 && c.ops[0]->input_index(wire) < 0) names.push_back(wire);
  return names.at(k - schemas.size());
}

/// What op `n` reads, which is not the first.
std::vector<ValueId> inputs_of(const OpCase& c, const Graph& graph, size_t n) {
  const auto made = [&](size_t op) { return graph.nodes().at(op).outputs[0]; };
  std::vector<ValueId> inputs;
  if (!c.wires.empty()) {
    for (const std::string& wire : c.wires.at(n - 1)) {
      const Leaf* leaf = graph.find_leaf(wire);
      inputs.push_back(leaf != nullptr ? leaf->value : made(std::stoul(wire)));
    }
    return inputs;
  }
  inputs.push_back(made(n - 1));
  if (c.ops[n]->name == "add") inputs.push_back(graph.leaves()[0].value);
  return inputs;
}

/// Nodes of the case, in a graph; node k is op k.
Graph build(const OpCase& c) {
  Graph graph("case");
  std::vector<ValueId> inputs;
  for (size_t k = 0; k < c.inputs.size(); ++k) {
    const ValueId input = c.inputs[k] ? graph.add_input(input_name(c, k), *c.inputs[k]) : ValueId{};
    if (c.wires.empty() || k < c.ops[0]->inputs.size()) inputs.push_back(input);
  }
  for (size_t n = 0; n < c.ops.size(); ++n) {
    if (n > 0) inputs = inputs_of(c, graph, n);
    graph.add_node(*c.ops[n], c.attributes[n], inputs, std::string(c.ops[n]->name));
  }
  return graph;
}

/// What a fusion would keep to itself is no result: the first output of a node that another reads.
void add_results(Graph& graph, const OpCase& c) {
  const size_t last_op = c.ops.size() - 1;
  const auto consumers = graph.consumers();
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      const bool feeds = !consumers[static_cast<size_t>(node.outputs[0].index)].empty();
      if (k == 0 && n != last_op && feeds && !c.kept.contains(n)) continue;
      const std::string prefix = n == last_op ? "" : fmt::format("{}.", n);
      graph.add_result(prefix + std::string(node.op->outputs[k].name), node.outputs[k]);
    }
  }
}

}  // namespace

double Tensor::at(int64_t i) const {
  return with_type(type.dtype, [&]<typename T>(T*) {
    return static_cast<double>(reinterpret_cast<const T*>(bytes.data())[i]);
  });
}

void Tensor::set(int64_t i, double value) {
  with_type(type.dtype,
            [&]<typename T>(T*) { reinterpret_cast<T*>(bytes.data())[i] = static_cast<T>(value); });
}

std::vector<double> Tensor::values() const {
  std::vector<double> all(static_cast<size_t>(type.elements()));
  with_type(type.dtype, [&]<typename T>(T*) {
    const T* from = reinterpret_cast<const T*>(bytes.data());
    std::transform(from, from + all.size(), all.begin(),
                   [](const T& element) { return static_cast<double>(element); });
  });
  return all;
}

std::vector<OpCase> read_op_cases(const std::string& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<OpCase> cases;
  for (const auto& file : files)
    for (const yaml::Value& value : yaml::parse_file(file.string()).items)
      cases.push_back(read_op_case(value));
  return cases;
}

Graph forward_graph(const OpCase& c) {
  Graph graph = build(c);
  add_results(graph, c);
  return graph;
}

std::optional<Graph> gradient_graph(const OpCase& c) {
  if (std::ranges::any_of(c.ops, [](const OpSchema* op) { return !op->gradient; }))
    return std::nullopt;
  Graph graph = build(c);
  const size_t last = c.ops.size() - 1;
  ValueId gradient = graph.add_input("gradient", graph.type(graph.nodes()[last].outputs[0]));
  for (size_t n = c.ops.size(); n-- > 0;) {
    const Node node = graph.nodes()[n];  // a copy: the rule adds nodes
    std::vector<ValueId> output_grads(node.outputs.size());
    output_grads[0] = gradient;
    std::array<bool, 16> wanted{};
    EXPGRAPH_CHECK(node.inputs.size() <= wanted.size());
    for (size_t k = 0; k < node.inputs.size(); ++k)
      wanted[k] = node.inputs[k].valid() && is_real(graph.type(node.inputs[k]).dtype);
    const std::vector<ValueId> gradients = c.ops[n]->gradient(
        {graph, node, output_grads, std::span(wanted).first(node.inputs.size())});
    gradient = gradients[0];
    if (n > 0) continue;
    for (size_t k = 0; k < gradients.size(); ++k)
      if (gradients[k].valid())
        graph.add_result("gradient/" + graph.leaf(node.inputs[k]).name, gradients[k]);
  }
  add_results(graph, c);
  return graph;
}

Graph whole_graph(const OpCase& c) {
  std::optional<Graph> gradient = gradient_graph(c);
  return gradient ? *std::move(gradient) : forward_graph(c);
}

Graph fused_for(const Target& target, const Graph& graph) {
  return fuse(recompute(graph, target), target);
}

Tensors make_inputs(const OpCase& c, const Graph& graph) {
  std::seed_seq seed(c.name.begin(), c.name.end());
  std::mt19937_64 random(seed);
  Tensors inputs;
  for (const Leaf& leaf : graph.leaves()) {
    Tensor& tensor = inputs.emplace(leaf.name, graph.type(leaf.value)).first->second;
    const int64_t count = tensor.type.elements();
    if (const auto given = c.values.find(leaf.name); given != c.values.end()) {
      if (static_cast<int64_t>(given->second.size()) != count)
        throw Error(fmt::format("{}: {} values for {} of {}", c.name, given->second.size(),
                                leaf.name, tensor.type.str()));
      for (int64_t i = 0; i < count; ++i) tensor.set(i, given->second[static_cast<size_t>(i)]);
      continue;
    }
    const DType dtype = tensor.type.dtype;
    const auto range = c.ranges.find(leaf.name);
    if (range == c.ranges.end() && dtype == DType::i32)
      throw Error(fmt::format("{}: {} needs a range", c.name, leaf.name));
    const double low = range != c.ranges.end() ? range->second[0] : is_real(dtype) ? -1 : 0;
    const double high = range != c.ranges.end() ? range->second[1] : is_real(dtype) ? 1 : 255;
    std::uniform_real_distribution<double> real(low, high);
    std::uniform_int_distribution<int64_t> integer(std::llround(low), std::llround(high));
    for (int64_t i = 0; i < count; ++i)
      tensor.set(i, is_real(dtype) ? real(random) : static_cast<double>(integer(random)));
  }
  return inputs;
}

std::string difference(const Tensor& want, const Tensor& got, double tolerance, double floor) {
  if (want.type.shape != got.type.shape || is_real(want.type.dtype) != is_real(got.type.dtype))
    return fmt::format("is {}, expected {}", got.type.str(), want.type.str());
  double largest = floor, worst = 0;
  int64_t where = -1;
  const std::vector<double> right = want.values(), found = got.values();
  for (size_t i = 0; i < right.size(); ++i) {
    if (std::isfinite(right[i])) largest = std::max(largest, std::abs(right[i]));
    if (found[i] == right[i]) continue;  // infinities too
    const double error = std::abs(found[i] - right[i]);
    if (where >= 0 && error <= worst) continue;
    if (std::isnan(error))
      return fmt::format("element {} is {}, expected {}", i, found[i], right[i]);
    where = static_cast<int64_t>(i);
    worst = error;
  }
  const double allowed = is_real(want.type.dtype) ? tolerance * (largest > 0 ? largest : 1) : 0;
  if (worst <= allowed) return "";
  return fmt::format("element {} is {}, expected {}: off by {:.2g} of {:.2g}", where, got.at(where),
                     want.at(where), worst, largest);
}

}  // namespace expgraph::test
