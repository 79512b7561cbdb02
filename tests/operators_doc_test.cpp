// operators_doc_test: the operators' documents are whole, and docs/operators.md is what they say.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "core/ops/document.h"
#include "core/pipeline.h"

using namespace expgraph;

TEST_CASE("docs/operators.md is what the records say (EXPGRAPH_GOLDEN_REWRITE=1 writes it)") {
  const std::string path = std::string(EXPGRAPH_SOURCE_DIR) + "/docs/operators.md";
  const char* rewrite = std::getenv("EXPGRAPH_GOLDEN_REWRITE");
  if (rewrite != nullptr && std::string_view(rewrite) == "1") {
    std::ofstream(path) << operators_markdown();
  }
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  CHECK(text.str() == operators_markdown());
}

TEST_CASE("every operator's record is whole") {
  std::set<std::string_view> names;
  for (const OpSchema* op : all_ops()) {
    CAPTURE(op->name);
    CHECK(names.insert(op->name).second);
    CHECK(find_op(op->name) == op);
    CHECK(op->doc.ends_with('.'));
    CHECK_FALSE(op->family.empty());
    CHECK((op->infer != nullptr));
    CHECK(op->internal == op->example.empty());
    CHECK((op->evaluation_op.empty() || find_op(op->evaluation_op) != nullptr));
    CHECK((op->update != nullptr) == (op->role == OpRole::optimiser));
    CHECK((op->schedule != nullptr) == (op->role == OpRole::schedule));
    for (size_t k = 0; k < op->inputs.size(); ++k) {
      const InputSchema& input = op->inputs[k];
      CHECK_FALSE(input.doc.empty());
      CHECK((!input.variadic || k + 1 == op->inputs.size()));
      const bool stateful =
          input.role == InputRole::parameter || input.role == InputRole::statistic;
      CHECK((!stateful || op->state != nullptr));
      CHECK((input.role != InputRole::choice || op->choice != nullptr));
    }
    for (const OutputSchema& output : op->outputs) {
      CHECK_FALSE(output.doc.empty());
      CHECK((output.updates.empty() || op->input_index(output.updates) >= 0));
    }
    for (const AttributeSchema& attribute : op->attributes) {
      CHECK_FALSE(attribute.doc.empty());
      if (attribute.fallback) {
        CHECK(attribute.fallback->index() == static_cast<size_t>(attribute.kind));
      }
    }
    for (const InPlace& pair : op->in_place) {
      CHECK(pair.input < static_cast<int>(op->inputs.size()));
      CHECK(pair.output < static_cast<int>(op->outputs.size()));
    }
  }
  CHECK(names.size() == 70);
  CHECK(find_op("") == nullptr);
  CHECK(find_op("zzz") == nullptr);
}

TEST_CASE("operators are listed by family and name") {
  std::string last;
  for (const OpSchema* op : all_ops()) {
    const std::string key = std::string(op->family) + '/' + std::string(op->name);
    CHECK(last < key);
    last = key;
  }
}

TEST_CASE("help on an operator fits a terminal") {
  CHECK(operator_help(op("concat")) ==
        "concat (shape)\n"
        "  Inputs one after another along an axis.\n"
        "\n"
        "inputs\n"
        "  x  value, one or more: equal in type but for the size along `axis`\n"
        "\n"
        "outputs\n"
        "  y  sizes along `axis` add up\n"
        "\n"
        "attributes\n"
        "  axis  an integer, default 1: counted from 0; 1 = channels\n"
        "\n"
        "example\n"
        "  join: {op: concat, inputs: [pool1, pool2]}\n");
  for (const OpSchema* op : all_ops()) {
    std::istringstream lines(operator_help(*op));
    for (std::string line; std::getline(lines, line);) CHECK(line.size() <= 80);
  }
}

TEST_CASE("the example of each operator that YAML may name is a node of that operator") {
  size_t tried = 0;
  for (const OpSchema* op : all_ops()) {
    if (op->internal) continue;
    CAPTURE(op->example);
    const std::string name(op->example.substr(0, op->example.find(':')));
    bool placed = false;  // in the place of the node of its name, or last
    // The nodes that examples read.
    std::string text = "pipeline: examples\ntrain:\n  epochs: 1\n  nodes:\n";
    for (const std::string_view node :
         {"data: {op: dataset, name: shapes10, split: train}",
          "normalise: {op: normalise, mean: [0, 0, 0], std: [1, 1, 1]}",
          "batch: {op: batch, size: 8}", "net: flatten", "conv1: relu", "conv2: relu",
          "pool1: relu", "pool2: relu", "loss: {op: cross_entropy, inputs: [net, batch/label]}",
          "lr: {op: piecewise_linear, epochs: [0], values: [1]}", "x: {op: relu, inputs: [net]}"}) {
      const bool is_example = node.starts_with(name + ":");
      placed |= is_example;
      text += fmt::format("    {}\n", is_example ? op->example : node);
    }
    if (!placed) text += fmt::format("    {}\n", op->example);
    const FlatSpec spec = expand_text(text, "examples.yaml", "", {}, op_names());
    const SpecNode* node = spec.find("train/" + name);
    REQUIRE(node != nullptr);
    CHECK(node->op == op->name);
    // What the operator cannot do without is in its example.
    for (const AttributeSchema& attribute : op->attributes) {
      CHECK((attribute.fallback || node->find(attribute.name) != nullptr));
    }
    ++tried;
  }
  CHECK(tried == op_names().ops.size());
}
