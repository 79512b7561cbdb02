// Edits: a small network and an edit -> the network that is left, in canonical text.
#include "core/spec/edit.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "core/pipeline.h"
#include "core/spec/spec_diff.h"

namespace expgraph {
namespace {

constexpr const char* kNet = R"(network: n
nodes:
  stem: {op: conv2d, channels: 8, kernel: 3}
  body:
    nodes:
      bn: batch_norm
      relu: relu
      pool: {op: max_pool, size: 2}
      sum: {op: add, inputs: [pool, relu]}
  flat: flatten
  fc: {op: linear, features: 10}
)";

FlatSpec net() { return expand_text(kNet, "n.yaml", "", {}, op_names()); }

FlatSpec edited(const std::string& edits, const std::string& named = "{}") {
  Library library;
  const yaml::Value& blocks = library.text(
      "blocks: {bottleneck: {params: {channels: }, nodes: {conv: {op: conv2d, kernel: 1, "
      "channels: $channels}, relu: relu}}}",
      "blocks.yaml", "");
  const yaml::Value& lists = library.text(named, "named.yaml", "");
  NamedEdits names;
  for (const yaml::Entry& entry : lists.entries) names[entry.key] = read_edits(entry.value);
  const EditScope scope{names, library.scope(blocks), library, op_names()};
  return apply_edits(net(), read_edits(library.text(edits, "edits.yaml", "")), scope);
}

/// The nodes that an edit leaves, without the two lines of the head.
std::string nodes_after(const std::string& edits) {
  const FlatSpec spec = edited(edits);
  const std::string text = to_yaml(spec);
  CHECK(to_yaml(expand_text(text, "again.yaml", "", {}, op_names())) == text);
  const size_t head = text.find("nodes:\n");
  return (head == 11 ? "" : text.substr(11, head - 11)) + text.substr(head + 7);
}

const std::string kStem = "  stem: {op: conv2d, inputs: [in], channels: 8, kernel: 3}\n";
const std::string kTail =
    "  flat: {op: flatten, inputs: [body]}\n"
    "  fc: {op: linear, inputs: [flat], features: 10}\n";
const std::string kBody =
    "  body:\n    inputs: [stem]\n    nodes:\n"
    "      bn: {op: batch_norm, inputs: [in]}\n"
    "      relu: {op: relu, inputs: [bn]}\n"
    "      pool: {op: max_pool, inputs: [relu], size: 2}\n"
    "      sum: {op: add, inputs: [pool, relu]}\n";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  REQUIRE(text.find(from) != std::string::npos);
  return text.replace(text.find(from), from.size(), to);
}

TEST_CASE("set: by path, by selector, of a new attribute") {
  CHECK(nodes_after("[{set: {stem.channels: 16, stem.padding: 1}}]") ==
        replaced(kStem, "channels: 8, kernel: 3", "channels: 16, kernel: 3, padding: 1") + kBody +
            kTail);
  CHECK(nodes_after("[{set: {select: {op: linear, where: {features: 10}}, bias: false}}]") ==
        kStem + kBody + replaced(kTail, "features: 10", "bias: false, features: 10"));
}

TEST_CASE("remove: readers take the first input, whatever the order of the targets") {
  const std::string left =
      kStem + replaced(replaced(kBody, "      relu: {op: relu, inputs: [bn]}\n", ""),
                       "      bn: {op: batch_norm, inputs: [in]}\n", "");
  const std::string expected =
      replaced(replaced(left, "[relu], size", "[in], size"), "[pool, relu]", "[pool, in]") + kTail;
  CHECK(nodes_after("[{remove: [body/relu, body/bn]}]") == expected);
  CHECK(nodes_after("[{remove: [body/bn, body/relu]}]") == expected);
  CHECK(nodes_after("[{remove: \"body/{bn,relu}\", expect: 2}]") == expected);
}

TEST_CASE("remove: the output of a group moves to what it read") {
  CHECK(nodes_after("[{remove: body/sum}]") ==
        kStem + replaced(kBody, "      sum: {op: add, inputs: [pool, relu]}\n", "") + kTail);
}

TEST_CASE("remove: a group, or all of its members, leaves its input to its readers") {
  const std::string expected = kStem + replaced(kTail, "[body]", "[stem]");
  CHECK(nodes_after("[{remove: body}]") == expected);
  CHECK(nodes_after("[{remove: body/*}]") == expected);
  CHECK(nodes_after("[{remove: body/**}]") == expected);
}

TEST_CASE("insert after: the readers and the output of the group read the last of the chain") {
  CHECK(nodes_after("[{insert: {after: body/sum, nodes: {a: relu, b: {op: scale, factor: 2}}}}]") ==
        kStem + kBody +
            "      a: {op: relu, inputs: [sum]}\n"
            "      b: {op: scale, inputs: [a], factor: 2}\n" +
            kTail);
  CHECK(nodes_after("[{insert: {after: body/bn, nodes: {a: {op: scale, factor: 2}}}}]") ==
        kStem +
            replaced(kBody, "      relu: {op: relu, inputs: [bn]}\n",
                     "      a: {op: scale, inputs: [bn], factor: 2}\n"
                     "      relu: {op: relu, inputs: [a]}\n") +
            kTail);
}

TEST_CASE("insert after a group, and of a block") {
  CHECK(nodes_after("[{insert: {after: fc, nodes: {act: relu}}}]") ==
        kStem + kBody + kTail + "  act: {op: relu, inputs: [fc]}\n");
  CHECK(nodes_after("[{insert: {after: body, nodes: {more: {block: bottleneck, channels: 4}}}}]") ==
        kStem + kBody +
            "  more:\n    inputs: [body]\n    nodes:\n"
            "      conv: {op: conv2d, inputs: [in], channels: 4, kernel: 1}\n"
            "      relu: {op: relu, inputs: [conv]}\n" +
            replaced(kTail, "[body]", "[more]"));
}

TEST_CASE("insert before: only the first input of the place changes") {
  CHECK(nodes_after("[{insert: {before: body/sum, nodes: {a: relu}}}]") ==
        kStem +
            replaced(kBody, "      sum: {op: add, inputs: [pool, relu]}\n",
                     "      a: {op: relu, inputs: [pool]}\n"
                     "      sum: {op: add, inputs: [a, relu]}\n") +
            kTail);
  CHECK(nodes_after("[{insert: {before: body, nodes: {a: relu}}}]") ==
        kStem + "  a: {op: relu, inputs: [stem]}\n" + replaced(kBody, "[stem]", "[a]") + kTail);
}

TEST_CASE("replace: name, inputs and readers stay") {
  CHECK(nodes_after("[{replace: {node: body, with: {op: average_pool, size: 2}}}]") ==
        kStem + "  body: {op: average_pool, inputs: [stem], size: 2}\n" + kTail);
  CHECK(nodes_after("[{replace: {node: body/sum, with: {op: concat}}}]") ==
        kStem + replaced(kBody, "sum: {op: add,", "sum: {op: concat,") + kTail);
  CHECK(nodes_after("[{replace: {node: flat, with: {block: bottleneck, channels: 2}}}]") ==
        kStem + kBody +
            "  flat:\n    inputs: [body]\n    nodes:\n"
            "      conv: {op: conv2d, inputs: [in], channels: 2, kernel: 1}\n"
            "      relu: {op: relu, inputs: [conv]}\n" +
            "  fc: {op: linear, inputs: [flat], features: 10}\n");
}

TEST_CASE("rewire: all inputs, an input by name, the output of a group") {
  CHECK(nodes_after("[{rewire: {body/sum: [relu, bn, in]}}]") ==
        kStem + replaced(kBody, "[pool, relu]", "[relu, bn, in]") + kTail);
  CHECK(nodes_after("[{rewire: {fc: {x: body/pool}}}]") ==
        kStem + kBody + replaced(kTail, "[flat]", "[body/pool]"));
  CHECK(nodes_after("[{rewire: {body: {output: pool}}}]") ==
        kStem + replaced(kBody, "    nodes:", "    output: pool\n    nodes:") + kTail);
  CHECK(nodes_after("[{rewire: {body/bn: ../stem}}]") ==
        kStem + replaced(replaced(kBody, "[in]", "[../stem]"), "    inputs: [stem]\n", "") + kTail);
}

TEST_CASE("move: several siblings stay in order, readers follow") {
  CHECK(nodes_after("[{move: {node: \"body/{bn,relu}\", after: pool}}]") ==
        kStem +
            "  body:\n    inputs: [stem]\n    nodes:\n"
            "      pool: {op: max_pool, inputs: [in], size: 2}\n"
            "      bn: {op: batch_norm, inputs: [pool]}\n"
            "      relu: {op: relu, inputs: [bn]}\n"
            "      sum: {op: add, inputs: [relu, in]}\n" +
            kTail);
  CHECK(nodes_after("[{move: {node: flat, before: body}}]") ==
        kStem + "  flat: {op: flatten, inputs: [stem]}\n" + replaced(kBody, "[stem]", "[flat]") +
            "  fc: {op: linear, inputs: [body], features: 10}\n");
}

TEST_CASE("apply: named edits, also of named edits") {
  const FlatSpec spec = edited("[{apply: both}]",
                               "{both: [{apply: [one, two]}], one: [{remove: body}], "
                               "two: [{set: {fc.features: 2}}]}");
  CHECK(to_yaml(spec) == to_yaml(edited("[{remove: body}, {set: {fc.features: 2}}]")));
}

TEST_CASE("diff tells what is added, removed, changed and rewired") {
  const SpecDiff changes = diff(net(), edited("[{remove: body/pool}, {set: {stem.channels: 16}}, "
                                              "{insert: {after: flat, nodes: {act: relu}}}]"));
  using Paths = std::vector<std::string>;
  CHECK(changes.added == Paths{"act"});
  CHECK(changes.removed == Paths{"body/pool"});
  CHECK(changes.changed == Paths{"stem"});
  CHECK(changes.rewired == Paths{"body/sum", "fc"});
  REQUIRE(changes.attributes.size() == 1);
  CHECK(changes.attributes[0].attribute == "channels");
  CHECK(changes.attributes[0].before == "8");
  CHECK(changes.attributes[0].after == "16");
  CHECK(diff(net(), net()).empty());
}

}  // namespace
}  // namespace expgraph
