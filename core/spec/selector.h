// selector: a path glob, an operator, attribute values -> the entries of a flat spec they mean.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/spec/graph_spec.h"

namespace expgraph {

/// A path pattern: `*` and `?` within a component, `**` over any number of components (at the end:
/// one or more), `{a,b}` alternatives (they may hold '/').
class Glob {
 public:
  Glob() : Glob("**", {}) {}
  Glob(std::string text, const Location& where);
  bool matches(std::string_view path) const;
  const std::string& text() const { return text_; }

 private:
  using Components = std::vector<std::string>;
  std::string text_;
  std::string prefix_;  ///< literal start that all alternatives share
  std::vector<Components> alternatives_;
};

/// Entries whose path, operator and attributes all fit.
struct Selector {
  Glob glob;
  std::string op;  ///< empty: any
  std::vector<AttributeSpec> attributes;
  Location where;
};

/// A selector as edits write it: a glob, or {path: GLOB, op: NAME, where: {attribute: value}}.
Selector read_selector(const yaml::Value& value);

/// Indices of the entries (nodes and groups) that it means, in spec order.
std::vector<size_t> match(const Selector& selector, const FlatSpec& spec);

}  // namespace expgraph
