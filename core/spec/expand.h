// expand: YAML nodes with blocks, repeats and relative names -> flat SpecNodes.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "core/spec/expression.h"
#include "core/spec/graph_spec.h"
#include "core/spec/library.h"

namespace expgraph {

/// What a node without `inputs` reads: the value of the previous sibling, by slot.
struct DefaultInputs {
  std::vector<Reference> inputs;
  std::string why_none;  ///< when empty: the rest of "node 'x' must name its input: ..."
};

/// Where nodes are expanded: which blocks and parameters they may name.
struct Frame {
  const Scope* scope = nullptr;
  Bindings bindings;
  std::set<std::string> used;  ///< names of bindings that were read
  BlockChain chain;
};

class Expander {
 public:
  Expander(Library& library, const OpNames& ops) : library_(library), ops_(ops) {}

  /// Expands a mapping of nodes into `group`; the first reads `first` unless it says otherwise.
  /// Returns what a node after the last would read.
  DefaultInputs expand_nodes(const yaml::Value& nodes, const std::string& group,
                             DefaultInputs first, Frame& frame);
  /// Expands one node, which reads `previous` unless it says otherwise; returns the same.
  DefaultInputs expand_node(const std::string& path, const yaml::Value& body, const Location& where,
                            DefaultInputs previous, Frame& frame);
  /// Expands one side of a pipeline: a group without an input, which may have attributes.
  void expand_side(const yaml::Entry& side, Frame& frame);
  /// Expands the nodes of a network that stands alone; returns the path of its output.
  std::string expand_root(const yaml::Value& nodes, const yaml::Value* output,
                          const Location& where, Frame& frame);
  /// Ties parameters to values: given ones, else defaults. Error for one unknown or missing.
  static Bindings bind(const Block& block, const Parameters& given, const Location& used_at,
                       std::set<std::string>& used);
  /// Error for a declared parameter that nothing read.
  static void check_used(const Block& block, const std::set<std::string>& used);

  /// Settles the inputs of groups and hands the nodes out.
  std::vector<SpecNode> take();

 private:
  struct Draft {
    SpecNode node;
    DefaultInputs defaults;  ///< of a group that does not name its input
  };

  DefaultInputs expand_repeats(const yaml::Entry& entry, const std::string& group,
                               DefaultInputs previous, Frame& frame);
  DefaultInputs expand_op(const std::string& path, const std::string& op, const Location& op_where,
                          const yaml::Value& body, const Location& where,
                          const DefaultInputs& previous, Frame& frame);
  DefaultInputs expand_group(const std::string& path, const yaml::Value& body,
                             const Location& where, DefaultInputs previous, Frame& frame);
  DefaultInputs expand_block(const std::string& path, const Block& block, const yaml::Entry& user,
                             const yaml::Value& body, const Location& where, DefaultInputs previous,
                             Frame& frame);
  DefaultInputs expand_evaluation(const std::string& path, const yaml::Value& body,
                                  const Location& where, DefaultInputs previous, Frame& frame);
  void fill_group(size_t group, const yaml::Value& nodes, const yaml::Value* output,
                  DefaultInputs first, Frame& frame);
  Reference find_output(const std::string& group, size_t first_draft, const yaml::Value* output,
                        const Location& where, Frame& frame);
  size_t open_group(const std::string& path, const yaml::Value& body, const Location& where,
                    DefaultInputs previous, Frame& frame);
  void set_attribute(SpecNode& node, const yaml::Entry& entry, Frame& frame);
  std::vector<Reference> read_inputs(const yaml::Value& value, const std::string& group,
                                     Frame& frame);
  Reference read_reference(const yaml::Value& value, const std::string& group, Frame& frame);
  Draft& add(SpecNode node);

  Library& library_;
  const OpNames& ops_;
  std::vector<Draft> drafts_;
  std::vector<const Block*> active_;
  size_t values_ = 0;
};

}  // namespace expgraph
