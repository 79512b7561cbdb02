// edit: data -> a function from FlatSpec to FlatSpec.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/spec/graph_spec.h"

namespace expgraph {

/// Which entries of a flat spec an edit speaks of: a path glob (`*` within a component, `**` over
/// any number, `{a,b}`, `?`), an op, attribute values, or all of them.
struct Selector {
  std::string glob;  ///< empty: any path
  std::string op;    ///< empty: any op
  std::vector<AttributeSpec> where_attributes;
  Location where;
};

/// Full paths of the entries it matches, in spec order; nodes and groups.
std::vector<std::string> match(const Selector& selector, const FlatSpec& spec);

struct Edit {
  enum class Kind { set, remove, replace, insert, rewire, move, apply };
  Kind kind = Kind::set;
  Location where;
  yaml::Value body;           ///< as written, parameters put in
  std::optional<int> expect;  ///< how many entries it must match
};

/// What one edit did, for notes and drawings.
struct EditReport {
  std::vector<std::string> added, removed, changed;  ///< full paths
};

using NamedEdits = std::map<std::string, std::vector<Edit>>;

/// Reads a list of edits (each a mapping with one verb and, optionally, `expect`).
std::vector<Edit> read_edits(const yaml::Value& list);

/// Applies edits in order. Throws Error when one matches nothing (nearest paths as a note), or not
/// `expect` times, or would leave a dangling or cyclic reference.
FlatSpec apply_edits(FlatSpec spec, const std::vector<Edit>& edits, const NamedEdits& named,
                     const OpNames& ops, EditReport* report = nullptr);

/// Differences between two flat specs, by path: for drawings and `expgraph diff`.
struct SpecDiff {
  std::vector<std::string> added, removed, changed;
  struct AttributeChange {
    std::string path, attribute, before, after;
  };
  std::vector<AttributeChange> attributes;
  bool empty() const { return added.empty() && removed.empty() && changed.empty(); }
};
SpecDiff diff(const FlatSpec& before, const FlatSpec& after);

}  // namespace expgraph
