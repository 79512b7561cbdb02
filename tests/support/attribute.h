// attribute: a name and a value -> an attribute or a parameter, as if it had been read from a file.
#pragma once

#include <string>

#include "core/spec/graph_spec.h"

namespace expgraph {

inline AttributeSpec attribute(const std::string& name, const std::string& value) {
  AttributeSpec made;
  made.name = name;
  made.value.kind = yaml::Kind::scalar;
  made.value.scalar = value;
  return made;
}

/// `train` of the pipeline with this attribute, instead of one of that name.
inline void set_of_train(FlatSpec& pipeline, const std::string& name, const std::string& value) {
  std::vector<AttributeSpec>& attributes = pipeline.find("train")->attributes;
  std::erase_if(attributes, [&](const AttributeSpec& other) { return other.name == name; });
  attributes.push_back(attribute(name, value));
}

}  // namespace expgraph
