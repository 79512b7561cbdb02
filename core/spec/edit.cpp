// edit: edits applied to a flat spec, one after the other.
#include "core/spec/edit.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <unordered_map>

#include "core/spec/expand.h"
#include "core/spec/paths.h"
#include "core/spec/wiring.h"
#include "core/support/suggest.h"

namespace expgraph {
namespace {

class Editor {
 public:
  Editor(FlatSpec spec, const EditScope& scope) : spec_(std::move(spec)), scope_(scope) {}

  FlatSpec take() { return std::move(spec_); }

  void apply(const std::vector<Edit>& edits) {
    for (const Edit& edit : edits) {
      if (const auto* named = std::get_if<ApplyEdit>(&edit.action)) {
        apply_named(*named);
        continue;
      }
      matched_.clear();
      try {
        run_action(edit);
        check_count(edit);
        drop_unread_inputs(spec_);
        check_references(spec_, scope_.ops);
      } catch (Error& error) {
        error.at(edit.where);
        if (error.where().source != edit.where.source) error.note("in this edit", edit.where);
        throw;
      }
    }
  }

 private:
  void run_action(const Edit& edit) {
    std::visit(
        [this](const auto& action) {
          if constexpr (!std::is_same_v<std::decay_t<decltype(action)>, ApplyEdit>) run(action);
        },
        edit.action);
  }

  void apply_named(const ApplyEdit& edit) {
    for (const yaml::Value& name : edit.names) {
      const auto found = scope_.named.find(name.scalar);
      if (found == scope_.named.end()) {
        Error error(fmt::format("no edits are named '{}'", name.scalar), name.where);
        std::vector<std::string> names;
        for (const auto& [known, edits] : scope_.named) names.push_back(known);
        const std::string hint = did_you_mean(name.scalar, names);
        throw hint.empty() ? error : error.note(hint);
      }
      if (std::find(applying_.begin(), applying_.end(), name.scalar) != applying_.end()) {
        throw Error(fmt::format("edits '{}' apply themselves", name.scalar), name.where);
      }
      applying_.push_back(name.scalar);
      apply(found->second);
      applying_.pop_back();
    }
  }

  // What an edit speaks of.

  std::vector<std::string> paths_of(const Selector& selector) {
    std::vector<std::string> paths;
    for (const size_t i : match(selector, spec_)) paths.push_back(spec_.nodes[i].path);
    if (paths.empty()) no_match(selector);
    matched_.insert(paths.begin(), paths.end());
    return paths;
  }

  [[noreturn]] void no_match(const Selector& selector) const {
    Error error("edit matches no node", selector.where);
    if (!selector.op.empty() && !scope_.ops.ops.contains(selector.op)) {
      const std::string hint = did_you_mean(selector.op, scope_.ops.names());
      throw error.note(fmt::format("there is no operator '{}'{}", selector.op,
                                   hint.empty() ? hint : ", " + hint));
    }
    const size_t on_path = match({.glob = selector.glob}, spec_).size();
    if (on_path > 0) {
      throw error.note(
          fmt::format("{} entries have a path that fits, none its 'op' and 'where'", on_path));
    }
    std::vector<std::string> names;
    for (const SpecNode& node : spec_.nodes) names.push_back(node.path);
    const std::string hint = did_you_mean(selector.glob.text(), names);
    if (!hint.empty()) throw error.note(hint);
    throw error.note(where_it_ends(selector.glob.text()));
  }

  /// The longest start of a glob that still matches, and what stands there.
  std::string where_it_ends(std::string text) const {
    const auto any = [&](const std::string& start) {
      const Glob glob(start, {});
      return std::any_of(spec_.nodes.begin(), spec_.nodes.end(),
                         [&](const SpecNode& node) { return glob.matches(node.path); });
    };
    std::string rest;
    while (!text.empty() && (text.find('{') != std::string::npos || !any(text))) {
      rest = std::string(last_component(text));
      text = std::string(parent_path(text));
    }
    const Glob glob(text.empty() ? "*" : text + "/*", {});
    std::vector<std::string> names;
    for (const SpecNode& node : spec_.nodes) {
      std::string name(last_component(node.path));
      const bool known = std::find(names.begin(), names.end(), name) != names.end();
      if (!known && glob.matches(node.path)) names.push_back(std::move(name));
    }
    const std::string hint = did_you_mean(rest, names);
    if (!hint.empty()) return hint;
    if (names.size() > 12) names.resize(12);
    return fmt::format("{} holds {}", text.empty() ? "the graph" : fmt::format("'{}'", text),
                       names.empty() ? "no nodes" : fmt::format("{}", fmt::join(names, ", ")));
  }

  void check_count(const Edit& edit) const {
    if (!edit.expect || static_cast<size_t>(*edit.expect) == matched_.size()) return;
    std::vector<std::string> shown(matched_.begin(), matched_.end());
    if (shown.size() > 6) {
      shown.resize(6);
      shown.emplace_back("...");
    }
    Error error(fmt::format("edit matches {} {}, expected {}", matched_.size(),
                            matched_.size() == 1 ? "node" : "nodes", *edit.expect),
                edit.expect_where);
    throw error.note(fmt::format("it matches {}", fmt::join(shown, ", ")));
  }

  // The edits.

  void run(const SetEdit& edit) {
    for (const auto& [target, attribute] : edit.assignments) {
      for (const std::string& path : paths_of(target)) assign(*spec_.find(path), attribute);
    }
  }

  void assign(SpecNode& node, const AttributeSpec& attribute) const {
    static const std::vector<std::string> of_train = {"epochs", "memory", "precision", "stop"};
    static const std::vector<std::string> of_group;
    const std::vector<std::string>& known = !node.is_group         ? attributes_of(node)
                                            : node.path == "train" ? of_train
                                                                   : of_group;
    if (std::find(known.begin(), known.end(), attribute.name) == known.end()) {
      Error error(fmt::format("'{}' ({}) has no attribute '{}'", node.path,
                              node.is_group ? "a group" : node.op, attribute.name),
                  attribute.where);
      const std::string hint = did_you_mean(attribute.name, known);
      throw hint.empty() ? error : error.note(hint);
    }
    AttributeSpec* given = node.find(attribute.name);
    std::shared_ptr<const AttributeSpec> before;
    if (given == nullptr) {
      given = &node.attributes.emplace_back();
    } else {
      before = std::make_shared<const AttributeSpec>(std::move(*given));
    }
    *given = attribute;
    given->by = author();
    given->before = std::move(before);
  }

  /// "variant 'stem'", or within `apply` "variant 'stem', edits 'thin'".
  std::string author() const {
    return applying_.empty() ? scope_.by
                             : fmt::format("{}, edits '{}'", scope_.by, applying_.back());
  }

  const std::vector<std::string>& attributes_of(const SpecNode& node) const {
    return scope_.ops.ops.find(node.op)->second.attributes;
  }

  void run(const RemoveEdit& edit) {
    std::set<std::string> paths;
    for (const Selector& target : edit.targets) {
      for (std::string& path : paths_of(target)) paths.insert(std::move(path));
    }
    remove_entries(spec_, std::move(paths));
  }

  void run(const ReplaceEdit& edit) {
    for (const std::string& path : paths_of(edit.target)) {
      const DefaultInputs inputs{spec_.find(path)->inputs, "what it replaces has none"};
      std::vector<SpecNode> made = expand([&](Expander& expander, Frame& frame) {
        expander.expand_node(path, edit.node, edit.node.where, inputs, frame);
      });
      const size_t place = place_of(spec_, path);
      take_out(spec_, path);
      put_in(spec_, place, std::move(made));
    }
  }

  void run(const InsertEdit& edit) {
    for (const std::string& path : paths_of(edit.anchor)) insert(edit, path);
  }

  void insert(const InsertEdit& edit, const std::string& path) {
    const SpecNode& anchor = *spec_.find(path);
    const std::string group(parent_path(path));
    DefaultInputs first{{{path, edit.anchor.where}}, ""};
    if (edit.before) {
      if (anchor.inputs.empty()) {
        throw Error(fmt::format("'{}' has no input to insert before", path), edit.anchor.where);
      }
      first.inputs = {anchor.inputs[0]};
    } else if (!feeds_next(anchor)) {
      first = {{},
               fmt::format("'{}' ({}) before it is no default", last_component(path), anchor.op)};
    }
    DefaultInputs last;
    std::vector<SpecNode> made = expand([&](Expander& expander, Frame& frame) {
      last = expander.expand_nodes(edit.nodes, group, std::move(first), frame);
    });
    for (const SpecNode& node : made) {
      if (const SpecNode* other = spec_.find(node.path)) {
        throw Error(fmt::format("there is a node '{}' already", node.path), node.where)
            .note("it stands here", other->where);
      }
    }
    if (!last.inputs.empty()) wire_in(spec_, path, last.inputs[0].path, edit.before);
    put_in(spec_, edit.before ? place_of(spec_, path) : place_after(spec_, path), std::move(made));
  }

  bool feeds_next(const SpecNode& node) const {
    if (node.is_group) return true;
    const OpNames::Op& op = scope_.ops.ops.find(node.op)->second;
    return op.feeds_next && !op.outputs.empty();
  }

  void run(const RewireEdit& edit) {
    for (const auto& [target, inputs] : edit.wirings) {
      for (const std::string& path : paths_of(target)) rewire(*spec_.find(path), inputs);
    }
    drop_unread_inputs(spec_);
    for (const auto& [target, inputs] : edit.wirings) {
      if (!inputs.is_mapping()) require_readers(target, inputs.where);
    }
  }

  /// Error when a group was given an input that no member reads.
  void require_readers(const Selector& target, const Location& where) const {
    for (const size_t i : match(target, spec_)) {
      const SpecNode& node = spec_.nodes[i];
      if (!node.is_group || !node.inputs.empty()) continue;
      throw Error(fmt::format("no node of group '{}' reads its input", last_component(node.path)),
                  where);
    }
  }

  void rewire(SpecNode& node, const yaml::Value& inputs) const {
    const std::string group(parent_path(node.path));
    if (inputs.is_mapping()) {
      for (const yaml::Entry& entry : inputs.entries) rewire_named(node, entry);
      return;
    }
    std::vector<Reference> references;
    const std::vector<yaml::Value> items =
        inputs.is_sequence() ? inputs.items : std::vector<yaml::Value>{inputs};
    for (const yaml::Value& item : items) references.push_back(reference(item, group));
    const bool variadic = !node.is_group && scope_.ops.ops.find(node.op)->second.variadic;
    // A group without an input may begin to have one.
    const size_t takes = node.is_group ? 1 : node.inputs.size();
    if (variadic ? references.empty() : references.size() != takes) {
      throw Error(fmt::format("'{}' takes {} {}, got {}", node.path, takes,
                              takes == 1 ? "input" : "inputs", references.size()),
                  inputs.where);
    }
    node.inputs = std::move(references);
  }

  static Reference reference(const yaml::Value& text, const std::string& group) {
    return {absolute_path(yaml::require_text(text, "an input"), group, text.where), text.where};
  }

  void rewire_named(SpecNode& node, const yaml::Entry& entry) const {
    const std::string group(parent_path(node.path));
    std::vector<std::string> known = {"output"};
    if (node.is_group && entry.key == "output") {
      node.output = reference(entry.value, node.path).path;
      node.target_where = entry.value.where;
      return;
    }
    if (!node.is_group) {
      const OpNames::Op& op = scope_.ops.ops.find(node.op)->second;
      known = op.variadic ? std::vector<std::string>{} : op.inputs;
      const auto found = std::find(known.begin(), known.end(), entry.key);
      const auto k = static_cast<size_t>(found - known.begin());
      if (k < node.inputs.size()) {
        node.inputs[k] = reference(entry.value, group);
        return;
      }
      if (found != known.end()) {
        std::erase_if(node.named, [&](const auto& named) { return named.first == entry.key; });
        node.named.emplace_back(entry.key, reference(entry.value, group));
        return;
      }
    }
    Error error(fmt::format("'{}' has no input '{}'", node.path, entry.key), entry.where);
    const std::string hint = did_you_mean(entry.key, known);
    throw hint.empty() ? error : error.note(hint);
  }

  void run(const MoveEdit& edit) {
    std::vector<std::string> groups;
    std::unordered_map<std::string, std::vector<std::string>> runs;
    for (const std::string& path : paths_of(edit.target)) {
      const std::string group(parent_path(path));
      if (!runs.contains(group)) groups.push_back(group);
      runs[group].push_back(path);
    }
    for (const std::string& group : groups) move(runs[group], group, edit);
  }

  /// Moves siblings, in order, behind or before another.
  void move(const std::vector<std::string>& run, const std::string& group, const MoveEdit& edit) {
    const std::string& name = yaml::require_text(edit.anchor, "the place of 'move'");
    const std::string anchor = join_path(group, name);
    if (spec_.find(anchor) == nullptr) no_sibling(group, name, edit.anchor.where);
    if (std::find(run.begin(), run.end(), anchor) != run.end()) {
      throw Error(fmt::format("'{}' cannot be moved beside itself", anchor), edit.anchor.where);
    }
    const std::set<std::string> paths(run.begin(), run.end());
    for (const std::string& path : run) {
      const SpecNode& node = *spec_.find(path);
      if (node.inputs.empty()) {
        throw Error(fmt::format("'{}' takes no input, so nothing changes when it moves", path));
      }
    }
    bypass(spec_, paths);
    std::vector<SpecNode> moved;
    for (const std::string& path : run) {
      std::vector<SpecNode> taken = take_out(spec_, path);
      moved.insert(moved.end(), std::make_move_iterator(taken.begin()),
                   std::make_move_iterator(taken.end()));
    }
    const SpecNode& target = *spec_.find(anchor);
    if (edit.before && target.inputs.empty()) {
      throw Error(fmt::format("'{}' has no input to move before", anchor), edit.anchor.where);
    }
    Reference previous = edit.before ? target.inputs[0] : Reference{anchor, edit.anchor.where};
    for (SpecNode& node : moved) {
      if (!paths.contains(node.path)) continue;
      node.inputs[0] = previous;
      previous = {node.path, edit.anchor.where};
    }
    wire_in(spec_, anchor, previous.path, edit.before);
    put_in(spec_, edit.before ? place_of(spec_, anchor) : place_after(spec_, anchor),
           std::move(moved));
  }

  [[noreturn]] void no_sibling(const std::string& group, const std::string& name,
                               const Location& where) const {
    Error error(fmt::format("'{}' has no node '{}'", group, name), where);
    std::vector<std::string> names;
    for (const SpecNode& node : spec_.nodes) {
      if (parent_path(node.path) == group) names.emplace_back(last_component(node.path));
    }
    const std::string hint = did_you_mean(name, names);
    throw hint.empty() ? error : error.note(hint);
  }

  template <typename Fill>
  std::vector<SpecNode> expand(const Fill& fill) {
    Frame frame;
    frame.scope = &scope_.blocks;
    Expander expander(scope_.library, scope_.ops);
    fill(expander, frame);
    std::vector<SpecNode> made = expander.take();
    for (SpecNode& node : made) {
      for (AttributeSpec& attribute : node.attributes) attribute.by = author();
    }
    return made;
  }

  FlatSpec spec_;
  const EditScope& scope_;
  std::set<std::string> matched_;
  std::vector<std::string> applying_;
};

}  // namespace

FlatSpec apply_edits(FlatSpec spec, const std::vector<Edit>& edits, const EditScope& scope) {
  Editor editor(std::move(spec), scope);
  editor.apply(edits);
  return editor.take();
}

}  // namespace expgraph
