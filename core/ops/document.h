// document: operator records -> what people read of them.
#pragma once

#include <string>
#include <vector>

#include "core/ir/op_schema.h"

namespace expgraph {

std::string_view to_string(OpRole role);     ///< "compute", "dataset", ...
std::string_view to_string(InputRole role);  ///< "value", "parameter", ...

/// An input, output or attribute, as text.
struct DocumentRow {
  std::string name;
  std::string kind;  ///< input: its role; attribute: "an integer", "mean or sum"; output: ""
  std::string note;  ///< "optional", "one or more", "required", "default [1]", "new running_mean"
  std::string doc;
};

/// One operator, as text: for `expgraph ops`, its JSON and docs/operators.md.
struct OperatorDocument {
  std::string name, family, role, doc;
  std::string example;  ///< YAML of one node; "" for an internal operator
  bool internal = false;
  bool differentiable = false;
  std::string evaluation_op;          ///< "" or what stands in for it when evaluating
  std::vector<std::string> in_place;  ///< "dx over dy"
  std::vector<DocumentRow> inputs, outputs, attributes;
};
OperatorDocument describe(const OpSchema& op);

/// Help on one operator for a terminal of 80 columns.
std::string operator_help(const OpSchema& op);

/// docs/operators.md: by family, those that YAML may name first, then the compiler's.
std::string operators_markdown();

}  // namespace expgraph
