// op_case: tests/ops/<family>.yaml -> graphs of an operator (or a chain of them), forward and
// backward, and the values that go in.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/backend.h"
#include "core/ir/op_schema.h"
#include "core/passes/target.h"
#include "core/spec/yaml.h"

namespace expgraph::test {

/// A tensor that owns its elements.
struct Tensor {
  explicit Tensor(TensorType t = {})
      : type(std::move(t)), bytes(static_cast<size_t>(type.bytes())) {}
  double at(int64_t i) const;
  void set(int64_t i, double value);
  std::vector<double> values() const;  ///< all elements
  TensorView view() { return {type, bytes.data()}; }

  TensorType type;
  std::vector<std::byte> bytes;
};
using Tensors = std::map<std::string, Tensor>;

/// One case of the corpus:
///   - conv2d: f32[1,3,7,5] f32[4,3,3,3]     # types of the inputs; - for one that is absent
///     with: {channels: 4, kernel: 3}        # attributes
///     ranges: {x: [0, 1]}                   # of random inputs; reals are in [-1, 1] otherwise
///     values: {x: [1, 2, 3]}                # or all elements of an input
///     expect: {y: [2, 4, 6]}                # all elements of an output
///     tolerance: 1e-5                       # |difference| over the largest finite |element|
/// The key may name a chain ("batch_norm relu"): each op's first output feeds the next op, the
/// inputs are those of the first, of which an add takes the first one too. `fused: [kinds]` are the
/// fusions that a target, `target: NAME` or else onednn's, makes of the chain and its gradient.
///     wires: [[average, 0, decay], [0, 1]]  # inputs of the second op and so on: the first output
///                                           # of an op, or a further input by its name
///     kept: [1]                             # ops that feed others with a result
struct OpCase {
  std::string name;  ///< "conv.yaml:12: conv2d"
  std::vector<const OpSchema*> ops;
  std::vector<Attributes> attributes;  ///< of each op
  std::vector<std::optional<TensorType>> inputs;
  std::map<std::string, std::vector<double>> ranges, values, expect;
  std::vector<std::string> fused;
  std::string target = "onednn";
  std::vector<std::vector<std::string>> wires;
  std::set<size_t> kept;
  double tolerance = 1e-5;
};

/// All cases of all files in a folder, by file name. Throws Error.
std::vector<OpCase> read_op_cases(const std::string& folder);

/// Inputs named as the first op's; every output is a result, named as the last op's, except those
/// that feed the next op of a chain.
Graph forward_graph(const OpCase& c);

/// forward_graph, then the gradients of the inputs by the ops' rules: input "gradient" is that of
/// the first output; results "gradient/<input>", and each output of each node that the rules add.
/// Nothing when a rule is missing.
std::optional<Graph> gradient_graph(const OpCase& c);

/// gradient_graph, or forward_graph where there is none.
Graph whole_graph(const OpCase& c);

/// As a step is made ready for a target.
Graph fused_for(const Target& target, const Graph& graph);

/// Values for every input leaf, from the case and its name as seed.
Tensors make_inputs(const OpCase& c, const Graph& graph);

/// Why `got` is not `want`; "" when no element is off by more than `tolerance` times the largest
/// element of `want`, or times `floor` where that is more. Integers: exactly; NaN is never right;
/// f32 and f64 compare by value.
std::string difference(const Tensor& want, const Tensor& got, double tolerance, double floor = 0);

}  // namespace expgraph::test
