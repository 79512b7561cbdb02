// Flat specs and texts that no file of a golden case gives: what the language says of them.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <functional>

#include "core/pipeline.h"
#include "core/spec/edit.h"

using namespace expgraph;

namespace {

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("a text over its limit is refused before it is read") {
  const auto source = std::make_shared<const SourceText>(SourceText{"a.yaml", "a: 12"});
  CHECK(message_of([&] { yaml::parse(source, {.bytes = 5}); }) == "no error");
  CHECK(message_of([&] { yaml::parse(source, {.bytes = 4}); }) ==
        "text has 5 bytes, the limit is 4");
}

TEST_CASE("a network whose value is gone is refused") {
  FlatSpec spec;
  spec.is_network = true;
  spec.output = "gone";
  CHECK(message_of([&] { check_references(spec, op_names()); }) ==
        "the network's output 'gone' is not a node");
}

TEST_CASE("an edit may not take the last node of a side of a pipeline") {
  FlatSpec spec;
  spec.nodes.resize(2);
  spec.nodes[0].path = "train";
  spec.nodes[0].is_group = true;
  spec.nodes[1].path = "train/data";
  spec.nodes[1].op = "dataset";
  Library library;
  const yaml::Value& edits = library.text("[{remove: train/data}]", "edits.yaml", "");
  const yaml::Value& none = library.text("blocks: {}", "blocks.yaml", "");
  const NamedEdits names;
  const EditScope scope{names, library.scope(none), library, op_names()};
  CHECK(message_of([&] { apply_edits(spec, read_edits(edits), scope); }) ==
        "nothing would be left of 'train'");
}

TEST_CASE("values of attributes are counted over the whole graph") {
  std::string list = "1";
  for (int k = 1; k < 1000; ++k) list += ", 1";
  const std::string text = fmt::format(
      "network: n\nparams: {{a: [{}]}}\nnodes:\n"
      "  chain: {{repeat: 600, nodes: {{norm: {{op: normalise, mean: $a, std: $a}}}}}}\n",
      list);
  CHECK(message_of([&] { expand_text(text, "n.yaml", "", {}, op_names()); }) ==
        "more than 1000000 attribute values in the graph");
}

TEST_CASE("a text that is neither a pipeline nor a network is not expanded") {
  CHECK(message_of([&] { expand_text("nodes: {}", "n.yaml", "", {}, op_names()); }) ==
        "expected a file with the key 'pipeline' or 'network'");
}
