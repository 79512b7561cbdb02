// spec_edits_test: the edits found between two specs, applied to the first, give the second.
#include "core/spec/spec_edits.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <random>

#include "core/pipeline.h"
#include "core/spec/paths.h"
#include "core/spec/study_spec.h"

namespace expgraph {
namespace {

constexpr int kRandomPairs = 60;  // of each graph, both ways

FlatSpec product(const std::string& name) {
  return expand_file(fmt::format("{}/graphs/pipelines/{}.yaml", EXPGRAPH_SOURCE_DIR, name), {},
                     op_names());
}

FlatSpec network(const std::string& nodes) {
  return expand_text("network: n\nnodes: " + nodes, "n.yaml", "", {}, op_names());
}

/// The edits between two specs, after their application was seen to give the second.
SpecEdits checked(const FlatSpec& before, const FlatSpec& after) {
  const SpecEdits edits = edits_between(before, after, op_names());
  FlatSpec made = edits.text.empty() ? before : apply_edit_text(before, edits.text, op_names());
  made.name = after.name;
  CHECK_MESSAGE(to_yaml(made) == to_yaml(after), edits.text);
  return edits;
}

/// One random edit as text; it may fail.
std::string random_edit(const FlatSpec& spec, std::mt19937& random) {
  const auto below = [&](size_t n) {
    return std::uniform_int_distribution<size_t>(0, n - 1)(random);
  };
  const auto path = [&] { return spec.nodes[below(spec.nodes.size())].path; };
  const std::string one = path(), other = path();
  const auto relative = [&](const std::string& to) { return relative_path(to, parent_path(one)); };
  switch (below(9)) {
    case 0:
      return fmt::format("- remove: {}\n", one);
    case 1:
      return fmt::format("- insert: {{after: {}, nodes: {{extra{}: relu}}}}\n", one, below(100));
    case 2:
      return fmt::format(
          "- insert: {{before: {}, nodes: {{a{}: {{nodes: {{b: relu, c: {{op: scale, "
          "factor: 2}}}}}}, d: {{op: add, inputs: [{}, {}]}}}}}}\n",
          one, below(100), relative(one), relative(other));
    case 3:
      return fmt::format("- replace: {{node: {}, with: {{op: scale, factor: {}}}}}\n", one,
                         below(9));
    case 4:
      return fmt::format("- move: {{node: {}, after: {}}}\n", one,
                         other.substr(other.rfind('/') + 1));
    case 5:
      return fmt::format("- set: {{{}.kernel: {}}}\n", one, below(7));
    case 6:
      return fmt::format("- set: {{select: {{op: conv2d}}, channels: {}}}\n", 1 + below(99));
    case 7:
      return fmt::format("- move: {{node: {}, before: {}}}\n", one,
                         other.substr(other.rfind('/') + 1));
    default:
      return fmt::format("- rewire: {{{}: {}}}\n", one, relative(other));
  }
}

FlatSpec randomly_edited(FlatSpec spec, std::mt19937& random) {
  for (int made = 0, tried = 0; made < 4 && tried < 200; ++tried) {
    try {
      spec = apply_edit_text(spec, random_edit(spec, random), op_names());
      ++made;
    } catch (const Error&) {  // does not fit here
    }
  }
  return spec;
}

TEST_CASE("random edits: what is found between the specs turns the one into the other") {
  std::mt19937 random(7);
  int pairs = 0, whole = 0;
  for (const char* name : {"davidnet", "dawnbench"}) {
    const FlatSpec before = product(name);
    for (int k = 0; k < kRandomPairs; ++k) {
      const FlatSpec after = randomly_edited(before, random);
      for (const bool back : {false, true}) {
        whole += checked(back ? after : before, back ? before : after).whole ? 1 : 0;
        ++pairs;
      }
    }
  }
  CHECK(pairs == 4 * kRandomPairs);
  // Sides replaced whole are right but say little: they must be rare.
  CHECK(whole <= pairs / 20);
  MESSAGE(whole << " of " << pairs << " pairs needed a side replaced whole");
}

TEST_CASE("every rung of the product's ladder is found again, in both directions") {
  const std::string path = fmt::format("{}/experiments/ablations.yaml", EXPGRAPH_SOURCE_DIR);
  const Study study = read_study(path, {}, op_names());
  int rungs = 0;
  for (const Variant& variant : study.variants) {
    if (variant.before == nullptr) continue;
    ++rungs;
    CHECK_FALSE(checked(*variant.before, *variant.after).whole);
    CHECK_FALSE(checked(*variant.after, *variant.before).whole);
  }
  CHECK(rungs >= 10);
}

TEST_CASE("edits say what happened") {
  const FlatSpec net = network("{a: relu, b: relu, c: {op: scale, factor: 2}, d: relu}");
  const auto to = [&](const std::string& nodes) { return checked(net, network(nodes)).text; };
  CHECK(to("{a: relu, b: relu, c: {op: scale, factor: 2}, d: relu}").empty());
  CHECK(to("{a: relu, c: {op: scale, factor: 2}, d: relu}") == "- remove: b\n");
  CHECK(to("{a: relu, b: relu, c: {op: scale, factor: 3}, d: relu}") ==
        "- set:\n    c.factor: 3\n");
  CHECK(to("{a: relu, b: relu, n: {op: scale, factor: 1}, c: {op: scale, factor: 2}, d: relu}") ==
        "- insert:\n    after: b\n    nodes:\n      n: {op: scale, factor: 1}\n");
  CHECK(to("{a: relu, c: {op: scale, factor: 2}, b: relu, d: relu}") ==
        "- move: {node: c, after: a}\n");
  CHECK(to("{a: relu, b: relu, c: {op: add, inputs: [a, b]}, d: relu}") ==
        "- replace:\n    node: c\n    with: {op: add, inputs: [a, b]}\n");
  CHECK(to("{a: relu, b: relu, c: {op: scale, factor: 2, inputs: a}, d: relu}") ==
        "- rewire:\n    c: [a]\n");
}

TEST_CASE("a group that begins to read its input, and one that stops") {
  const FlatSpec reads = network("{a: relu, g: {nodes: {b: relu, c: {op: scale, factor: 2}}}}");
  const FlatSpec other =
      network("{a: relu, g: {nodes: {b: {op: relu, inputs: ../a}, c: {op: scale, factor: 2}}}}");
  checked(reads, other);
  checked(other, reads);
}

TEST_CASE("dollars and quotes in values come through") {
  const FlatSpec before = product("davidnet");
  const FlatSpec after =
      apply_edit_text(before, "- set: {train/data.name: \"a$$b: 'c'\"}\n", op_names());
  CHECK(after.find("train/data")->find("name")->value.scalar == "a$b: 'c'");
  checked(before, after);
}

TEST_CASE("no edits exist between networks whose value is another node in the same place") {
  const FlatSpec before = network("{a: relu, b: relu}");
  const FlatSpec after =
      expand_text("network: m\noutput: a\nnodes: {a: relu, b: relu}", "m.yaml", "", {}, op_names());
  CHECK_THROWS_WITH_AS(edits_between(before, after, op_names()), "no edits turn 'n' into 'm'",
                       Error);
}

}  // namespace
}  // namespace expgraph
