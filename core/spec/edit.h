// edit: data -> a function from FlatSpec to FlatSpec.
//
// An edit is a mapping with one verb and, optionally, `expect: N`, how many entries it must match.
// PATH is a glob ("train/net/layer*/block0/conv3") or a selector ({op: batch_norm, path: train/**,
// where: {scale_init: uniform}}, attributes as the file gives them, not defaults).
//
//   set:     {PATH.attribute: value, ...}  or  {select: PATH, attribute: value, ...}
//   remove:  PATH  or  [PATH, ...]           readers take its first input; a group's, its input;
//                                            a group that loses its last member goes as well
//   replace: {node: PATH, with: NODE}        keeps the name, the inputs and the readers
//   insert:  {after: PATH, nodes: {...}}     a chain; the readers of PATH read its last node
//            {before: PATH, nodes: {...}}    the first input of PATH becomes its last node
//   rewire:  {PATH: inputs, ...}             a reference, a list, or {input: reference}; written
//                                            as in the node itself; of a group also {output: ...}
//   move:    {node: PATH, after: SIBLING}    taken out as by remove, put back as by insert;
//            {node: PATH, before: SIBLING}   several siblings stay in order
//   apply:   NAME  or  [NAME, ...]           edits that the study names
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/spec/library.h"
#include "core/spec/selector.h"

namespace expgraph {

struct SetEdit {
  struct Assignment {
    Selector target;
    AttributeSpec attribute;
  };
  std::vector<Assignment> assignments;
};

struct RemoveEdit {
  std::vector<Selector> targets;
};

struct ReplaceEdit {
  Selector target;
  yaml::Value node;
};

struct InsertEdit {
  Selector anchor;
  bool before = false;
  yaml::Value nodes;
};

struct RewireEdit {
  struct Wiring {
    Selector target;
    yaml::Value inputs;
  };
  std::vector<Wiring> wirings;
};

struct MoveEdit {
  Selector target;
  bool before = false;
  yaml::Value anchor;  ///< name of a sibling
};

struct ApplyEdit {
  std::vector<yaml::Value> names;
};

struct Edit {
  Location where;             ///< of the verb
  std::optional<int> expect;  ///< how many entries it must match
  Location expect_where;
  std::variant<SetEdit, RemoveEdit, ReplaceEdit, InsertEdit, RewireEdit, MoveEdit, ApplyEdit>
      action;
};

using NamedEdits = std::map<std::string, std::vector<Edit>, std::less<>>;

/// Reads a list of edits whose parameters have been put in.
std::vector<Edit> read_edits(const yaml::Value& list);

/// What edits may refer to.
struct EditScope {
  const NamedEdits& named;
  const Scope& blocks;
  Library& library;
  const OpNames& ops;
  std::string by = {};  ///< whose edits they are: AttributeSpec::by of what they set
};

/// Applies edits in order. Throws Error when one matches nothing (nearest paths as a note), or not
/// `expect` times, or would leave a dangling or cyclic reference.
FlatSpec apply_edits(FlatSpec spec, const std::vector<Edit>& edits, const EditScope& scope);

}  // namespace expgraph
