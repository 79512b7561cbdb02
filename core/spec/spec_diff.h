// spec_diff: two flat specs -> what differs, by path: for drawings, tables and `expgraph diff`.
#pragma once

#include <string>
#include <vector>

#include "core/spec/graph_spec.h"

namespace expgraph {

struct SpecDiff {
  struct AttributeChange {
    std::string path, attribute;
    std::string before, after;  ///< as YAML; "" when it is not given
  };
  std::vector<std::string> added, removed;
  std::vector<std::string> changed;  ///< another operator or other attributes
  std::vector<std::string> rewired;  ///< other inputs (or output, of a group) and nothing else
  std::vector<AttributeChange> attributes;
  bool empty() const {
    return added.empty() && removed.empty() && changed.empty() && rewired.empty();
  }
};

SpecDiff diff(const FlatSpec& before, const FlatSpec& after);

}  // namespace expgraph
