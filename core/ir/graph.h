// graph: a typed SSA dataflow graph. A node is typed when it is added, so an ill-typed graph
// cannot be built; nodes are in topological order always.
#pragma once

#include <compare>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/ir/attribute.h"
#include "core/ir/tensor_type.h"
#include "core/support/diagnostics.h"

namespace expgraph {

struct OpSchema;
class Graph;

struct ValueId {
  int32_t index = -1;
  bool valid() const { return index >= 0; }
  auto operator<=>(const ValueId&) const = default;
};

struct NodeId {
  int32_t index = -1;
  bool valid() const { return index >= 0; }
  auto operator<=>(const NodeId&) const = default;
};

/// How a state starts. uniform: [a, b); normal: mean a, standard deviation b; constant: a; dirac:
/// filters uniform in [a, b), but the first ones, as many as there are input channels, hand one
/// channel each on unchanged (PyTorch's dirac_ on the first filters); copy: as the state `of`
/// starts.
struct Initialiser {
  enum class Kind { constant, uniform, normal, dirac, copy };
  Kind kind = Kind::constant;
  double a = 0;
  double b = 0;
  std::string of = {};
  bool operator==(const Initialiser&) const = default;
};

/// Random integers as an input, i32[N, bounds.size()]: component k in 0 .. bounds[k]-1. Drawn in
/// bulk by core/data/choices, keyed by seed, leaf name, epoch and sample.
struct ChoiceRule {
  /// uniform; alternating: as the first epoch drew in epochs 0, 2, ..., else bounds[k]-1 less that;
  /// beta: the larger of a part and its rest, in units of 1 / (bounds[k]-1), the part being drawn
  /// from Beta(alpha, alpha).
  enum class Kind { uniform, alternating, beta };
  std::vector<int64_t> bounds;
  Kind kind = Kind::uniform;
  double alpha = 0;
  bool operator==(const ChoiceRule&) const = default;
};

enum class LeafKind {
  input,   ///< bound at each run: images, labels, sample indices, schedule scalars
  state,   ///< lives in the StateStore: parameters, running statistics, momentum
  choice,  ///< random integers, bound at each run
};

/// A value that no node makes.
struct Leaf {
  LeafKind kind = LeafKind::input;
  std::string name;  ///< unique within a graph: "images", "train/net/prep/conv/w"
  ValueId value;
  bool trainable = false;   ///< state: the optimiser updates it
  Initialiser initialiser;  ///< state
  ChoiceRule choice;        ///< choice
};

struct Value {
  NodeId producer;  ///< invalid for a leaf
  int output = 0;   ///< which output of the producer; for a leaf, its index in leaves()
  TensorType type;
};

struct Node {
  const OpSchema* op = nullptr;
  std::string path;             ///< where it comes from: "train/net/layer1/conv"
  Attributes attributes;        ///< complete: defaults are filled in
  std::vector<ValueId> inputs;  ///< one per schema input (variadic: any number); invalid = absent
  std::vector<ValueId> outputs;
  std::shared_ptr<const Graph> body;  ///< a fusion's body; null otherwise
  Location where;                     ///< the YAML that asked for it; may be nowhere
};

/// A named value that a run hands back ("loss", "train/accuracy").
struct Result {
  std::string name;
  ValueId value;
};

/// At the end of a run, state takes value. The state leaf keeps its old value for all readers.
struct StateUpdate {
  ValueId state;
  ValueId value;
};

class Graph {
 public:
  explicit Graph(std::string name = "graph") : name_(std::move(name)) {}

  ValueId add_input(std::string name, TensorType type);
  ValueId add_state(std::string name, TensorType type, Initialiser initialiser, bool trainable);
  ValueId add_choice(std::string name, TensorType type, ChoiceRule rule);
  ValueId add_leaf(Leaf leaf, TensorType type);  ///< leaf.value is set here

  /// Adds a node: checks and completes the attributes, infers the output types. Throws Error (at
  /// `where`) when the operator's rules are broken. Returns its id; outputs in node(id).outputs.
  NodeId add_node(const OpSchema& op, Attributes attributes, std::vector<ValueId> inputs,
                  std::string path, Location where = {},
                  std::shared_ptr<const Graph> body = nullptr);
  /// Same by name, and the first output: for gradients and passes.
  ValueId add(std::string_view op, std::vector<ValueId> inputs, Attributes attributes,
              std::string path);

  void add_result(std::string name, ValueId value);
  void add_update(ValueId state, ValueId value);
  /// `state` takes `value` instead of what it took.
  void replace_update(ValueId state, ValueId value);

  const std::string& name() const { return name_; }
  const std::vector<Leaf>& leaves() const { return leaves_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<Value>& values() const { return values_; }
  const std::vector<Result>& results() const { return results_; }
  const std::vector<StateUpdate>& updates() const { return updates_; }

  const Node& node(NodeId id) const { return nodes_[static_cast<size_t>(id.index)]; }
  const Value& value(ValueId id) const { return values_[static_cast<size_t>(id.index)]; }
  const TensorType& type(ValueId id) const { return value(id).type; }
  bool is_leaf(ValueId id) const { return !value(id).producer.valid(); }
  const Leaf& leaf(ValueId id) const;  ///< of a value that is a leaf
  const Leaf* find_leaf(std::string_view name) const;
  ValueId output(NodeId id, int k = 0) const { return node(id).outputs[static_cast<size_t>(k)]; }

  /// Nodes that read each value (index by ValueId.index), in order; a node that reads a value
  /// twice is listed twice.
  std::vector<std::vector<NodeId>> consumers() const;

 private:
  std::string name_;
  std::vector<Leaf> leaves_;
  std::map<std::string, int32_t, std::less<>> leaf_ids_;  ///< name -> index in leaves_
  std::vector<Node> nodes_;
  std::vector<Value> values_;
  std::vector<Result> results_;
  std::vector<StateUpdate> updates_;
};

/// Text of a graph that parse_graph reads back to an equal graph (graph_text.cpp).
std::string to_text(const Graph& graph);
Graph parse_graph(std::string_view text, std::string_view source_name = "graph.txt");

/// Infers every node again and compares; checks order, leaves, results, updates (types equal).
/// Throws std::logic_error naming the node: a broken graph is our mistake. Throws for `body` too.
void verify(const Graph& graph);

}  // namespace expgraph
