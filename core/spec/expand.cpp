// expand: YAML nodes with blocks, repeats and relative names -> flat SpecNodes.
#include "core/spec/expand.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <unordered_map>
#include <unordered_set>

#include "core/spec/paths.h"
#include "core/support/suggest.h"

namespace expgraph {
namespace {

constexpr size_t kMaxNodes = 20'000;
constexpr size_t kMaxValues = 1'000'000;
constexpr ptrdiff_t kMaxDepth = 64;
constexpr size_t kMaxParameters = 256;
constexpr std::array<std::string_view, 5> kForms = {"op", "block", "network", "nodes", "evaluate"};
constexpr std::array<std::string_view, 11> kReserved = {"op",       "block",  "network", "nodes",
                                                        "evaluate", "inputs", "output",  "repeat",
                                                        "index",    "note",   "in"};

template <typename Names>
std::vector<std::string> keys_of(const Names& map) {
  std::vector<std::string> names;
  for (const auto& [name, value] : map) names.push_back(name);
  return names;
}

Error& hint(Error& error, std::string_view name, const std::vector<std::string>& names) {
  const std::string near = did_you_mean(name, names);
  return near.empty() ? error : error.note(near);
}

const OpNames::Op& find_op(const OpNames& ops, const std::string& name, const Location& where) {
  const auto found = ops.ops.find(name);
  if (found != ops.ops.end()) return found->second;
  Error error(fmt::format("unknown operator '{}'", name), where);
  throw hint(error, name, ops.names());
}

/// The one key that says what a node is.
const yaml::Entry& find_form(std::string_view name, const yaml::Value& body,
                             const Location& where) {
  const yaml::Entry* form = nullptr;
  for (const yaml::Entry& entry : body.entries) {
    if (std::find(kForms.begin(), kForms.end(), entry.key) == kForms.end()) continue;
    if (form != nullptr) {
      throw Error(fmt::format("node '{}' has both '{}' and '{}'", name, form->key, entry.key),
                  entry.where);
    }
    form = &entry;
  }
  if (form != nullptr) return *form;
  Error error(
      fmt::format("node '{}' needs one of 'op', 'block', 'network', 'nodes', 'evaluate'", name),
      body.entries.empty() ? where : body.entries[0].where);
  for (const yaml::Entry& entry : body.entries) {
    const std::string near = did_you_mean(entry.key, {kForms.begin(), kForms.end()});
    if (!near.empty()) throw error.note(near);
  }
  throw error;
}

[[noreturn]] void no_default(std::string_view path, const DefaultInputs& defaults,
                             const Location& where) {
  throw Error(fmt::format("'{}' must name its input: {}", last_component(path), defaults.why_none),
              where);
}

}  // namespace

DefaultInputs Expander::expand_nodes(const yaml::Value& nodes, const std::string& group,
                                     DefaultInputs first, Frame& frame) {
  yaml::require_mapping(nodes, "'nodes'");
  DefaultInputs previous = std::move(first);
  for (const yaml::Entry& entry : nodes.entries) {
    check_name(entry.key, "node", entry.where);
    previous = expand_repeats(entry, group, std::move(previous), frame);
  }
  return previous;
}

void Expander::expand_side(const yaml::Entry& side, Frame& frame) {
  const std::string what = fmt::format("'{}'", side.key);
  if (side.key == "train") {
    yaml::expect_keys(side.value, {"epochs", "memory", "precision", "stop", "nodes"}, what);
  } else {
    yaml::expect_keys(side.value, {"nodes"}, what);
  }
  const yaml::Value* nodes = side.value.find("nodes");
  if (nodes == nullptr) throw Error(what + " needs the key 'nodes'", side.where);
  const size_t group = open_group(side.key, {}, side.where, {}, frame);
  for (const yaml::Entry& entry : side.value.entries) {
    if (&entry.value != nodes) set_attribute(drafts_[group].node, entry, frame);
  }
  if (side.key == "train" && drafts_[group].node.find("epochs") == nullptr) {
    throw Error("'train' needs the key 'epochs'", side.where);
  }
  const DefaultInputs none{{}, fmt::format("it is the first node of '{}'", side.key)};
  fill_group(group, *nodes, nullptr, none, frame);
}

DefaultInputs Expander::expand_repeats(const yaml::Entry& entry, const std::string& group,
                                       DefaultInputs previous, Frame& frame) {
  const std::string path = join_path(group, entry.key);
  const yaml::Value* repeat = entry.value.find("repeat");
  if (repeat == nullptr) {
    return expand_node(path, entry.value, entry.where, std::move(previous), frame);
  }
  const yaml::Value count = substitute(*repeat, frame.bindings, &frame.used);
  const int64_t copies = yaml::require_integer(count, "'repeat'", 0, 1000);
  const yaml::Value* inputs = entry.value.find("inputs");
  const auto outer = frame.bindings.find("index");
  const std::optional<yaml::Value> saved =
      outer == frame.bindings.end() ? std::nullopt : std::optional(outer->second);
  for (int64_t i = 0; i < copies; ++i) {
    yaml::Value index;
    index.kind = yaml::Kind::scalar;
    index.scalar = fmt::format("{}", i);
    index.where = repeat->where;
    frame.bindings["index"] = index;
    yaml::Value body = entry.value;
    std::erase_if(body.entries, [&](const yaml::Entry& e) {
      return e.key == "repeat" || (i > 0 && inputs != nullptr && e.key == "inputs");
    });
    previous = expand_node(path + index.scalar, body, entry.where, std::move(previous), frame);
  }
  if (saved) {
    frame.bindings["index"] = *saved;
  } else {
    frame.bindings.erase("index");
  }
  return previous;
}

DefaultInputs Expander::expand_node(const std::string& path, const yaml::Value& body,
                                    const Location& where, DefaultInputs previous, Frame& frame) {
  const std::string name(last_component(path));
  if (body.is_scalar()) {
    const yaml::Value op = substitute(body, frame.bindings, &frame.used);
    yaml::require_text(op, fmt::format("the operator of node '{}'", name));
    return expand_op(path, op.scalar, op.where, {}, where, previous, frame);
  }
  if (!body.is_mapping()) {
    throw Error(fmt::format("node '{}' must be an operator or a mapping, got {}", name,
                            yaml::describe(body)),
                body.where);
  }
  const yaml::Entry& form = find_form(name, body, where);
  if (form.key == "nodes") return expand_group(path, body, where, std::move(previous), frame);
  if (form.key == "evaluate") {
    return expand_evaluation(path, body, where, std::move(previous), frame);
  }
  const yaml::Value value = substitute(form.value, frame.bindings, &frame.used);
  const std::string& text = yaml::require_text(value, fmt::format("'{}'", form.key));
  if (form.key == "op") {
    return expand_op(path, text, value.where, body, where, previous, frame);
  }
  const Block* block = nullptr;
  if (form.key == "network") {
    block = &library_.network(library_.resolve(text, value.where), value.where);
  } else {
    const auto found = frame.scope->visible.find(text);
    if (found == frame.scope->visible.end()) {
      Error error(fmt::format("unknown block '{}'", text), value.where);
      throw hint(error, text, keys_of(frame.scope->visible));
    }
    block = &found->second;
  }
  return expand_block(path, *block, form, body, where, std::move(previous), frame);
}

DefaultInputs Expander::expand_op(const std::string& path, const std::string& op,
                                  const Location& op_where, const yaml::Value& body,
                                  const Location& where, const DefaultInputs& previous,
                                  Frame& frame) {
  const OpNames::Op& known = find_op(ops_, op, op_where);
  const std::string group(parent_path(path));
  const std::string name(last_component(path));
  SpecNode node;
  node.path = path;
  node.op = op;
  node.where = where;
  std::vector<std::optional<Reference>> slots(known.variadic ? 0 : known.value_inputs);
  const auto take_input = [&](size_t k, Reference reference) {
    if (k >= slots.size()) {
      node.named.emplace_back(known.inputs[k], std::move(reference));
    } else if (slots[k]) {
      throw Error(fmt::format("input '{}' is given twice", known.inputs[k]), reference.where);
    } else {
      slots[k] = std::move(reference);
    }
  };
  if (const yaml::Value* inputs = body.find("inputs")) {
    std::vector<Reference> references = read_inputs(*inputs, group, frame);
    if (known.variadic) {
      node.inputs = std::move(references);
    } else if (references.size() > known.inputs.size()) {
      throw Error(fmt::format("{} takes at most {} {}, got {}", op, known.inputs.size(),
                              known.inputs.size() == 1 ? "input" : "inputs", references.size()),
                  inputs->where);
    } else {
      for (size_t k = 0; k < references.size(); ++k) take_input(k, std::move(references[k]));
    }
  }
  for (const yaml::Entry& entry : body.entries) {
    if (entry.key == "op" || entry.key == "inputs") continue;
    const auto input = std::find(known.inputs.begin(), known.inputs.end(), entry.key);
    if (std::find(known.attributes.begin(), known.attributes.end(), entry.key) !=
        known.attributes.end()) {
      set_attribute(node, entry, frame);
    } else if (input != known.inputs.end() && !known.variadic) {
      const auto k = static_cast<size_t>(input - known.inputs.begin());
      take_input(k, read_reference(entry.value, group, frame));
    } else {
      Error error(fmt::format("{} has no attribute '{}'", op, entry.key), entry.where);
      std::vector<std::string> names = known.attributes;
      names.insert(names.end(), known.inputs.begin(), known.inputs.end());
      names.insert(names.end(), {"inputs", "repeat"});
      throw hint(error, entry.key, names);
    }
  }
  for (size_t k = 0; k < slots.size(); ++k) {
    if (!slots[k] && k < previous.inputs.size()) slots[k] = previous.inputs[k];
    if (!slots[k] && k == 0) no_default(path, previous, where);
    if (!slots[k]) {
      throw Error(fmt::format("'{}' needs the input '{}'", name, known.inputs[k]), where);
    }
    node.inputs.push_back(*slots[k]);
  }
  if (known.variadic && node.inputs.empty()) {
    if (previous.inputs.empty()) no_default(path, previous, where);
    node.inputs = previous.inputs;
  }
  node.chain = frame.chain;
  add(std::move(node));
  if (known.feeds_next && !known.outputs.empty()) return {{{path, where}}, ""};
  return {{}, fmt::format("'{}' ({}) before it is no default", name, op)};
}

void Expander::set_attribute(SpecNode& node, const yaml::Entry& entry, Frame& frame) {
  if (entry.value.is_null()) {
    throw Error(fmt::format("attribute '{}' has no value", entry.key), entry.where);
  }
  yaml::Value value = substitute(entry.value, frame.bindings, &frame.used);
  values_ += yaml::count_values(value);
  if (values_ > kMaxValues) {
    throw Error(fmt::format("more than {} attribute values in the graph", kMaxValues), entry.where);
  }
  node.attributes.push_back({entry.key, std::move(value), entry.where});
}

DefaultInputs Expander::expand_group(const std::string& path, const yaml::Value& body,
                                     const Location& where, DefaultInputs previous, Frame& frame) {
  yaml::expect_keys(body, {"nodes", "output", "inputs", "repeat"},
                    fmt::format("group '{}'", last_component(path)));
  const size_t group = open_group(path, body, where, std::move(previous), frame);
  const DefaultInputs first{{{join_path(path, "in"), where}}, ""};
  fill_group(group, *body.find("nodes"), body.find("output"), first, frame);
  return {{{path, where}}, ""};
}

DefaultInputs Expander::expand_block(const std::string& path, const Block& block,
                                     const yaml::Entry& user, const yaml::Value& body,
                                     const Location& where, DefaultInputs previous, Frame& frame) {
  if (std::find(active_.begin(), active_.end(), &block) != active_.end()) {
    throw Error(fmt::format("{} contains itself", block.label), user.value.where);
  }
  Parameters given;
  for (const yaml::Entry& entry : body.entries) {
    if (entry.key == user.key || entry.key == "inputs") continue;
    given.push_back({entry.key, substitute(entry.value, frame.bindings, &frame.used), entry.where});
  }
  Frame inner;
  inner.scope = block.scope;
  inner.bindings = bind(block, given, user.value.where, inner.used);
  const size_t group = open_group(path, body, where, std::move(previous), frame);
  inner.chain = frame.chain;
  inner.chain.emplace_back(block.label, user.value.where);
  const DefaultInputs first{{{join_path(path, "in"), where}}, ""};
  active_.push_back(&block);
  try {
    fill_group(group, *block.nodes, block.output, first, inner);
    check_used(block, inner.used);
  } catch (Error& error) {
    note_chain(error, {inner.chain.back()});
    throw;
  }
  active_.pop_back();
  return {{{path, where}}, ""};
}

DefaultInputs Expander::expand_evaluation(const std::string& path, const yaml::Value& body,
                                          const Location& where, DefaultInputs previous,
                                          Frame& frame) {
  yaml::expect_keys(body, {"evaluate", "inputs"}, fmt::format("node '{}'", last_component(path)));
  const size_t group = open_group(path, body, where, std::move(previous), frame);
  Draft& draft = drafts_[group];
  const Reference target =
      read_reference(*body.find("evaluate"), std::string(parent_path(path)), frame);
  draft.node.evaluates = target.path;
  draft.node.target_where = target.where;
  if (draft.node.inputs.empty()) {
    if (draft.defaults.inputs.empty()) no_default(path, draft.defaults, where);
    draft.node.inputs = {draft.defaults.inputs[0]};
  }
  return {{{path, where}}, ""};
}

Bindings Expander::bind(const Block& block, const Parameters& given, const Location& used_at,
                        std::set<std::string>& used) {
  static const yaml::Value none = [] {
    yaml::Value value;
    value.kind = yaml::Kind::mapping;
    return value;
  }();
  const yaml::Value& declared = block.params == nullptr ? none : *block.params;
  yaml::require_mapping(declared, "'params'");
  if (declared.entries.size() > kMaxParameters) {
    throw Error(fmt::format("more than {} parameters", kMaxParameters), declared.where);
  }
  for (const AttributeSpec& parameter : given) {
    if (declared.find(parameter.name) != nullptr) continue;
    Error error(fmt::format("{} has no parameter '{}'", block.label, parameter.name),
                parameter.where);
    std::vector<std::string> names;
    for (const yaml::Entry& entry : declared.entries) names.push_back(entry.key);
    throw hint(error, parameter.name, names);
  }
  Bindings bindings;
  for (const yaml::Entry& entry : declared.entries) {
    check_name(entry.key, "parameter", entry.where);
    if (std::find(kReserved.begin(), kReserved.end(), entry.key) != kReserved.end()) {
      throw Error(fmt::format("parameter '{}': the name is a word of the language", entry.key),
                  entry.where);
    }
    const auto found = std::find_if(given.begin(), given.end(),
                                    [&](const auto& g) { return g.name == entry.key; });
    if (found != given.end()) {
      const bool has_role = found->value.origin != nullptr && !found->value.origin->role.empty();
      bindings[entry.key] = has_role
                                ? found->value
                                : with_role(found->value, fmt::format("given to {}", block.label));
    } else if (!entry.value.is_null()) {
      bindings[entry.key] = with_role(substitute(entry.value, bindings, &used),
                                      fmt::format("default of {}", block.label));
    } else {
      Error error(fmt::format("{} needs the parameter '{}'", block.label, entry.key), used_at);
      throw error.note("declared here", entry.where);
    }
  }
  return bindings;
}

void Expander::check_used(const Block& block, const std::set<std::string>& used) {
  if (block.params == nullptr) return;
  for (const yaml::Entry& entry : block.params->entries) {
    if (!used.contains(entry.key)) {
      throw Error(fmt::format("parameter '{}' of {} is never used", entry.key, block.label),
                  entry.where);
    }
  }
}

size_t Expander::open_group(const std::string& path, const yaml::Value& body, const Location& where,
                            DefaultInputs previous, Frame& frame) {
  SpecNode node;
  node.path = path;
  node.is_group = true;
  node.where = where;
  node.chain = frame.chain;
  if (const yaml::Value* inputs = body.find("inputs")) {
    node.inputs = read_inputs(*inputs, std::string(parent_path(path)), frame);
    if (node.inputs.size() != 1) {
      throw Error(fmt::format("a group takes 1 input, got {}", node.inputs.size()), inputs->where);
    }
  }
  add(std::move(node)).defaults = std::move(previous);
  return drafts_.size() - 1;
}

void Expander::fill_group(size_t group, const yaml::Value& nodes, const yaml::Value* output,
                          DefaultInputs first, Frame& frame) {
  const std::string path = drafts_[group].node.path;
  const Location where = drafts_[group].node.where;
  if (std::count(path.begin(), path.end(), '/') >= kMaxDepth) {
    throw Error(fmt::format("groups nested deeper than {} levels", kMaxDepth), where);
  }
  expand_nodes(nodes, path, std::move(first), frame);
  const Reference value = find_output(path, group + 1, output, where, frame);
  drafts_[group].node.output = value.path;
  drafts_[group].node.target_where = value.where;
}

/// The value that a group stands for: what `output` says, else its last member.
Reference Expander::find_output(const std::string& group, size_t first_draft,
                                const yaml::Value* output, const Location& where, Frame& frame) {
  if (output != nullptr) return read_reference(*output, group, frame);
  for (size_t i = drafts_.size(); i-- > first_draft;) {
    if (parent_path(drafts_[i].node.path) == group) return {drafts_[i].node.path, {}};
  }
  throw Error(group.empty() ? "the network has no nodes"
                            : fmt::format("group '{}' has no nodes", last_component(group)),
              where);
}

std::string Expander::expand_root(const yaml::Value& nodes, const yaml::Value* output,
                                  const Location& where, Frame& frame) {
  expand_nodes(nodes, "", {{{"in", where}}, ""}, frame);
  return find_output("", 0, output, where, frame).path;
}

std::vector<Reference> Expander::read_inputs(const yaml::Value& value, const std::string& group,
                                             Frame& frame) {
  const yaml::Value inputs = substitute(value, frame.bindings, &frame.used);
  if (!inputs.is_sequence()) return {read_reference(inputs, group, frame)};
  std::vector<Reference> references;
  for (const yaml::Value& item : inputs.items) {
    references.push_back(read_reference(item, group, frame));
  }
  return references;
}

Reference Expander::read_reference(const yaml::Value& value, const std::string& group,
                                   Frame& frame) {
  const yaml::Value text = substitute(value, frame.bindings, &frame.used);
  yaml::require_text(text, "an input");
  return {absolute_path(text.scalar, group, text.where), text.where};
}

Expander::Draft& Expander::add(SpecNode node) {
  if (drafts_.size() >= kMaxNodes) {
    throw Error(fmt::format("more than {} nodes in the graph", kMaxNodes), node.where);
  }
  return drafts_.emplace_back(Draft{std::move(node), {}});
}

std::vector<SpecNode> Expander::take() {
  std::unordered_map<std::string_view, const SpecNode*> seen;
  std::unordered_set<std::string> read;
  for (const Draft& draft : drafts_) {
    const auto [found, is_new] = seen.emplace(draft.node.path, &draft.node);
    if (!is_new) {
      Error error(fmt::format("node '{}' is given twice", draft.node.path), draft.node.where);
      throw error.note("first given here", found->second->where);
    }
    for (const Reference& reference : draft.node.inputs) read.insert(reference.path);
    for (const auto& [name, reference] : draft.node.named) read.insert(reference.path);
    if (draft.node.is_group) read.insert(draft.node.output);
  }
  // Members come after their group, so that a group's own input is known before its parent's.
  for (auto draft = drafts_.rbegin(); draft != drafts_.rend(); ++draft) {
    SpecNode& node = draft->node;
    if (!node.is_group || !node.evaluates.empty()) continue;
    const bool is_read = read.contains(join_path(node.path, "in"));
    try {
      if (!is_read && !node.inputs.empty()) {
        throw Error(fmt::format("no node of group '{}' reads its input", last_component(node.path)),
                    node.inputs[0].where);
      }
      if (is_read && node.inputs.empty()) {
        if (draft->defaults.inputs.empty()) no_default(node.path, draft->defaults, node.where);
        node.inputs = {draft->defaults.inputs[0]};
        read.insert(node.inputs[0].path);
      }
    } catch (Error& error) {
      note_chain(error, node.chain);
      throw;
    }
  }
  std::vector<SpecNode> nodes;
  nodes.reserve(drafts_.size());
  for (Draft& draft : drafts_) nodes.push_back(std::move(draft.node));
  drafts_.clear();
  return nodes;
}

}  // namespace expgraph
