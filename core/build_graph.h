// build_graph: instances of spec nodes -> typed nodes of a Graph, parameters made where they are
// needed.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "core/ir/op_schema.h"
#include "core/resolve.h"

namespace expgraph {

/// The attributes of a node as its operator wants them: kinds checked, defaults filled in.
Attributes typed_attributes(const SpecNode& node, const OpSchema& op);

/// Adds instances to one graph. Values of other rates are put in with `define`.
class GraphBuilder {
 public:
  GraphBuilder(const Resolver& resolver, std::string graph_name, bool evaluation)
      : resolver_(resolver), graph_(std::move(graph_name)), evaluation_(evaluation) {}

  Graph& graph() { return graph_; }

  /// The output `output` ("" = first) of the instance is this value.
  void define(const Instance& instance, const std::string& output, ValueId value);

  /// Adds the node and defines its outputs; unwired parameters, statistics and choices become
  /// leaves named "<path>/<input>"; evaluated, the operator's evaluation form stands in.
  NodeId add(const Instance& instance);

  /// The value that an input reads. Throws Error when it is of another rate or an output that the
  /// operator does not have.
  ValueId value(const Source& source, const Instance& reader) const;

  /// The wired inputs by the operator's order; invalid where nothing is wired. Throws Error for too
  /// many or for a value input that is missing.
  std::vector<ValueId> wired(const Instance& instance, const OpSchema& op) const;

 private:
  ValueId make_leaf(const Instance& instance, const InferContext& context, size_t input);

  const Resolver& resolver_;
  Graph graph_;
  bool evaluation_;
  std::map<std::pair<const SpecNode*, const SpecNode*>, std::map<std::string, ValueId>> values_;
};

}  // namespace expgraph
