// ops: every case of tests/ops on every backend that is there, forward and backward, against
// reference.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>

#include "core/host_store.h"
#include "core/passes/passes.h"
#include "tests/support/guarded_run.h"
#include "tests/support/op_case.h"
#include "tests/support/planted.h"

using namespace expgraph;
using namespace expgraph::test;

namespace {

const std::vector<OpCase>& corpus() {
  static const std::vector<OpCase> cases = read_op_cases(EXPGRAPH_SOURCE_DIR "/tests/ops");
  return cases;
}

/// What a run gets wrong against `want`, each a line.
void compare(const OpCase& c, const Tensors& want, const GuardedRun& run, const std::string& how,
             std::vector<std::string>& faults) {
  const auto add = [&](const std::string& fault) {
    faults.push_back(fmt::format("{} ({}): {}", c.name, how, fault));
  };
  for (const std::string& fault : run.faults) add(fault);
  for (const auto& [name, got] : run.results)
    if (const std::string fault = difference(want.at(name), got, c.tolerance); !fault.empty())
      add(name + ": " + fault);
}

/// The graph with its first result alone.
Graph first_output_alone(const Graph& graph) {
  Rewriter rewriter(graph);
  for (size_t n = 0; n < graph.nodes().size(); ++n) rewriter.copy({static_cast<int32_t>(n)});
  rewriter.graph().add_result(graph.results()[0].name, rewriter.map(graph.results()[0].value));
  return std::move(rewriter.graph());
}

void check_in_place(const OpCase& c, const Graph& graph, const Tensors& want, const Tensors& inputs,
                    const Backend& tested, std::vector<std::string>& faults) {
  const Node& node = graph.nodes()[0];
  for (const InPlace& pair : node.op->in_place) {
    const size_t input = static_cast<size_t>(pair.input), output = static_cast<size_t>(pair.output);
    if (input >= node.inputs.size() || output >= node.outputs.size()) continue;
    if (graph.type(node.inputs[input]) != graph.type(node.outputs[output])) continue;
    MemoryPlan plan = guarded_plan(graph);
    plan.placements[static_cast<size_t>(node.outputs[output].index)] = {Placement::Kind::binding, 0,
                                                                        node.inputs[input]};
    const std::string& leaf = graph.leaf(node.inputs[input]).name;
    compare(c, want, guarded_run(tested, graph, plan, inputs, leaf), "over " + leaf, faults);
  }
}

/// Whether a backend of that target is asked to compute this: the compiler turns the rest away.
bool computes_in_types_of(const OpCase& c, const Target& target) {
  const Graph graph = whole_graph(c);
  return std::ranges::all_of(graph.values(), [&](const Value& value) {
    const DType dtype = value.type.dtype;
    return !is_real(dtype) || std::ranges::find(target.types, dtype) != target.types.end();
  });
}

/// Everything that is wrong with `tested` on this case; empty when it does what reference does.
std::vector<std::string> faults_of(const OpCase& c, const Backend& tested,
                                   const Backend& reference) {
  std::vector<std::string> faults;
  const Graph forward = forward_graph(c);
  const Tensors inputs = make_inputs(c, forward);
  Tensors want = guarded_run(reference, forward, guarded_plan(forward), inputs).results;
  for (const auto& [name, values] : c.expect) {
    Tensor& expected = want.at(name);
    REQUIRE_MESSAGE(static_cast<int64_t>(values.size()) == expected.type.elements(), c.name);
    for (size_t i = 0; i < values.size(); ++i) expected.set(static_cast<int64_t>(i), values[i]);
  }
  compare(c, want, guarded_run(tested, forward, guarded_plan(forward), inputs), "forward", faults);
  if (c.ops.size() == 1 && forward.results().size() > 1) {
    const Graph alone = first_output_alone(forward);
    compare(c, want, guarded_run(tested, alone, guarded_plan(alone), inputs), "first output alone",
            faults);
  }
  if (c.ops.size() == 1) check_in_place(c, forward, want, inputs, tested, faults);

  const Graph whole = whole_graph(c);
  const Tensors whole_inputs = make_inputs(c, whole);
  const Tensors whole_want =
      guarded_run(reference, whole, guarded_plan(whole), whole_inputs).results;
  compare(c, whole_want, guarded_run(tested, whole, guarded_plan(whole), whole_inputs),
          "with gradient", faults);
  if (c.ops.size() > 1) {
    const Graph fused = fused_for(target(c.target), whole);
    compare(c, whole_want, guarded_run(tested, fused, guarded_plan(fused), whole_inputs), "fused",
            faults);
  }
  return faults;
}

/// Kinds of the fusions that the case's target makes of a chain and its gradient, in order.
std::vector<std::string> fused_kinds(const OpCase& c) {
  std::vector<std::string> kinds;
  if (c.ops.size() == 1) return kinds;
  const Graph fused = fused_for(target(c.target), whole_graph(c));
  for (const Node& node : fused.nodes())
    if (node.body) kinds.push_back(node.attributes.text("kind"));
  return kinds;
}

/// How many nodes of each operator the corpus runs.
std::map<std::string, int, std::less<>> coverage() {
  std::map<std::string, int, std::less<>> counts;
  for (const OpCase& c : corpus()) {
    const Graph graph = whole_graph(c);
    for (const Node& node : graph.nodes()) ++counts[std::string(node.op->name)];
    for (const std::string& kind : fused_kinds(c)) {
      ++counts["fusion"];
      ++counts["fusion " + kind];
    }
  }
  return counts;
}

}  // namespace

TEST_CASE("every backend does what reference does on every case") {
  const Backend& reference = load_backend("reference");
  const std::vector<std::string> backends = backend_names();
  CHECK(std::ranges::find(backends, "reference") != backends.end());
  for (const std::string& name : backends) {
    const Backend& tested = load_backend(name);
    size_t wrong = 0;
    for (const OpCase& c : corpus()) {
      if (!computes_in_types_of(c, target(name))) continue;
      for (const OpSchema* op : c.ops) CHECK_MESSAGE(tested.supports(*op), name, " ", op->name);
      const std::vector<std::string> faults = faults_of(c, tested, reference);
      for (const std::string& fault : faults) MESSAGE(name, ": ", fault);
      wrong += !faults.empty();
    }
    CHECK_MESSAGE(wrong == 0, name, ": ", wrong, " of ", corpus().size(), " cases are wrong");
  }
}

TEST_CASE("every operator that a backend runs has three cases or more") {
  const auto counts = coverage();
  for (const OpSchema* op : all_ops()) {
    const bool runs =
        op->role == OpRole::compute || op->role == OpRole::sample || op->role == OpRole::metric;
    const auto found = counts.find(op->name);
    if (runs) CHECK_MESSAGE((found != counts.end() && found->second >= 3), op->name);
  }
}

TEST_CASE("every fusion of every target has a case, and makes what its case says") {
  const auto counts = coverage();
  for (const std::string& name : target_names())
    for (const FusionPattern& pattern : target(name).fusions)
      CHECK_MESSAGE(counts.contains("fusion " + pattern.name), pattern.name);
  for (const OpCase& c : corpus()) {
    CHECK_MESSAGE(fused_kinds(c) == c.fused, c.name);
  }
}

TEST_CASE("a planted fault of each kind is found, and no fault is found in reference") {
  const Backend& reference = load_backend("reference");
  const auto c = std::ranges::find_if(
      corpus(), [](const OpCase& candidate) { return candidate.ops[0]->name == "conv2d"; });
  REQUIRE(c != corpus().end());
  CHECK(faults_of(*c, reference, reference).empty());
  for (int fault = 0; fault < Planted::kSeenInOneRun; ++fault)
    CHECK_MESSAGE(!faults_of(*c, Planted(reference, fault), reference).empty(), "fault ", fault);
}
