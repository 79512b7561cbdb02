// spec_text: parts of a flat spec -> canonical YAML, for the whole (to_yaml) and for edits.
#pragma once

#include <string>

#include "core/spec/graph_spec.h"

namespace expgraph {

/// One line that a document gives back as the same value: numbers normalised, dollars doubled.
std::string value_text(const yaml::Value& value);

/// What follows "name: " of an operator or an evaluated group: "{op: relu, inputs: [conv]}".
/// `with_inputs` false leaves the key `inputs` out.
std::string node_text(const SpecNode& node, bool with_inputs = true);

/// The lines of a group's body, members and all, `indent` blanks deep.
std::string group_text(const FlatSpec& spec, const SpecNode& group, size_t indent);

}  // namespace expgraph
