// graph_spec: what YAML says of a graph, nested and then flat, before anything is typed.
//
// A document, by its first key:
//   network: NAME      with params, blocks, nodes, output, note
//   pipeline: NAME     with params, blocks, train: {epochs:, memory:, precision:, stop:, nodes:},
//                      test: {nodes:}, note
//   blocks: {NAME: {params:, nodes:, output:, note:}}          a file of blocks
// params: {name: default}; without a default it must be given. blocks: a mapping as above, or a
// list of block files and such mappings. A node:
//   name: OP
//   name: {op: OP, attribute: value, input: reference}
//   name: {block: NAME, parameter: value}
//   name: {network: FILE, parameter: value}
//   name: {nodes: {...}, output: reference}       a group; its value is its last node's, or output
//   name: {evaluate: reference}                   a group run again in evaluation mode
// any of them with `inputs: reference` or a list, and `repeat: N`: copies name0, name1, ..., each
// reading the one before, numbered by `$index`. A node without inputs reads the node before it;
// the first of a group reads the group's input. A reference: `conv` (sibling), `../conv`,
// `layer1/relu` (member of a group), `batch/label` (named output), `in` (the group's input).
// "$name" and "$(expression)" put parameters in (expression.h).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/spec/yaml.h"

namespace expgraph {

/// What the language must know of operators; the compiler fills it from the op records
/// (core/pipeline.cpp), so that core/spec does not depend on core/ops.
struct OpNames {
  struct Op {
    std::vector<std::string> inputs;  ///< names, wired ones first; may be given as keys
    std::vector<std::string> attributes;
    bool takes_input = true;  ///< false for sources (dataset, schedules): no default input
    bool variadic = false;
    size_t value_inputs = 1;  ///< how many leading inputs are values that must be wired
    std::vector<std::string> outputs;
    bool feeds_next = true;  ///< false for schedules, metrics and optimisers: the node after
                             ///< one must name its input
  };
  std::map<std::string, Op, std::less<>> ops;  ///< those that YAML may name
  std::vector<std::string> names() const;
};

/// A value of an attribute: yaml::Value with parameters already put in (after expand).
struct AttributeSpec {
  std::string name;
  yaml::Value value;
  Location where;       ///< of the key
  std::string by = {};  ///< whose edit set it: "variant 'batch_size'"; "" = the graph itself
  std::shared_ptr<const AttributeSpec> before = {};  ///< what an edit took the place of
};

/// A reference to a value, by full path: a node ("train/net/prep/conv"), a node's named output
/// ("train/batch/label"), a group (its output), or a group's input ("train/net/layer1/in").
/// Symbolic: what it means is looked up when the graph is built, after all edits.
struct Reference {
  std::string path;
  Location where;
  bool operator==(const Reference& other) const { return path == other.path; }
};

/// The blocks and networks that a node came through, outermost first: "block 'residual'" and
/// where it was used.
using BlockChain = std::vector<std::pair<std::string, Location>>;

/// One entry of a flat spec: an operator node or a group (cluster).
struct SpecNode {
  std::string path;  ///< "train/net/layer1/conv"
  bool is_group = false;
  std::string op;  ///< of a node
  std::vector<AttributeSpec> attributes;
  /// Node: one per value input, in the op's order (variadic: any number).
  /// Group: what "<path>/in" stands for (at most one; empty when no member reads it).
  std::vector<Reference> inputs;
  std::vector<std::pair<std::string, Reference>> named;  ///< further inputs, by name
  std::string output;     ///< group: full path of the value that it stands for
  std::string evaluates;  ///< group of `evaluate: path`: full path of the group that it
                          ///< runs again in evaluation mode, sharing its states
  Location where;
  Location target_where;  ///< of what `output` or `evaluates` says; nowhere when nothing does
  BlockChain chain;

  const AttributeSpec* find(std::string_view name) const;
  AttributeSpec* find(std::string_view name);
};

/// A whole pipeline or network, flat: full paths, every input named, in document order, each
/// group before its members. Edits are functions from this to this.
struct FlatSpec {
  std::string name;
  bool is_network = false;  ///< else a pipeline: its roots are `train` and `test`
  std::string output;       ///< network: full path of its value; its input is "in"
  std::vector<SpecNode> nodes;
  const SpecNode* find(std::string_view path) const;
  SpecNode* find(std::string_view path);
};

/// Values for parameters, from a study, a profile or --set; each must be known to the graph.
using Parameters = std::vector<AttributeSpec>;

/// Reads a pipeline or network file and all it refers to (blocks, networks; paths relative to the
/// file), puts parameters in, expands blocks and repeats, resolves relative names.
FlatSpec expand_file(const std::string& path, const Parameters& parameters, const OpNames& ops,
                     const Location& asked_at = {});
/// The same from text that is called `name` in messages; its relative paths start at `directory`.
FlatSpec expand_text(std::string_view text, const std::string& name, const std::string& directory,
                     const Parameters& parameters, const OpNames& ops);

/// Canonical YAML of a flat spec: complete and readable by expand_text, which gives it back.
/// Two specs that mean the same have the same text (keys in order, numbers normalised).
std::string to_yaml(const FlatSpec& spec);

/// Error unless every reference names a value that there is, and no value depends on itself.
void check_references(const FlatSpec& spec, const OpNames& ops);

/// Adds "in block 'residual', used at file:line:column" notes, innermost first.
Error& note_chain(Error& error, const BlockChain& chain);

}  // namespace expgraph
