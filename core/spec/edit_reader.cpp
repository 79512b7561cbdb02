// edit_reader: YAML -> edits.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <climits>

#include "core/spec/edit.h"
#include "core/support/suggest.h"

namespace expgraph {
namespace {

/// "train/batch.size" -> the selector and the name after the last '.'.
SetEdit::Assignment read_assignment(const yaml::Entry& entry) {
  const size_t dot = entry.key.rfind('.');
  if (dot == std::string::npos || dot == 0 || dot + 1 == entry.key.size()) {
    throw Error(fmt::format("'{}' names no attribute, expected PATH.attribute", entry.key),
                entry.where);
  }
  Location path = entry.where;
  Location attribute = entry.where;
  if (entry.where.length == static_cast<int>(entry.key.size())) {
    path.length = static_cast<int>(dot);
    attribute.column += static_cast<int>(dot) + 1;
    attribute.length = static_cast<int>(entry.key.size() - dot - 1);
  }
  Selector selector;
  selector.glob = Glob(entry.key.substr(0, dot), path);
  selector.where = path;
  return {std::move(selector), {entry.key.substr(dot + 1), entry.value, attribute}};
}

SetEdit read_set(const yaml::Value& value) {
  SetEdit edit;
  yaml::require_mapping(value, "'set'");
  const yaml::Value* select = value.find("select");
  for (const yaml::Entry& entry : value.entries) {
    if (&entry.value == select) continue;
    if (entry.value.is_null()) {
      throw Error(fmt::format("'{}' has no value", entry.key), entry.where);
    }
    if (select == nullptr) {
      edit.assignments.push_back(read_assignment(entry));
    } else {
      edit.assignments.push_back({read_selector(*select), {entry.key, entry.value, entry.where}});
    }
  }
  if (edit.assignments.empty()) throw Error("'set' sets nothing", value.where);
  return edit;
}

RemoveEdit read_remove(const yaml::Value& value) {
  RemoveEdit edit;
  if (!value.is_sequence()) {
    edit.targets.push_back(read_selector(value));
    return edit;
  }
  for (const yaml::Value& item : value.items) edit.targets.push_back(read_selector(item));
  if (edit.targets.empty()) throw Error("'remove' removes nothing", value.where);
  return edit;
}

const yaml::Value& required(const yaml::Value& value, std::string_view key, std::string_view verb) {
  const yaml::Value* found = value.find(key);
  if (found == nullptr) {
    throw Error(fmt::format("'{}' needs the key '{}'", verb, key), value.where);
  }
  return *found;
}

ReplaceEdit read_replace(const yaml::Value& value) {
  yaml::expect_keys(value, {"node", "with"}, "'replace'");
  return {read_selector(required(value, "node", "replace")), required(value, "with", "replace")};
}

/// The one of 'after' and 'before' that is given.
const yaml::Value& read_side(const yaml::Value& value, std::string_view verb, bool& before) {
  const yaml::Value* after_value = value.find("after");
  const yaml::Value* before_value = value.find("before");
  if ((after_value == nullptr) == (before_value == nullptr)) {
    throw Error(fmt::format("'{}' needs one of 'after' and 'before'", verb), value.where);
  }
  before = before_value != nullptr;
  return before ? *before_value : *after_value;
}

InsertEdit read_insert(const yaml::Value& value) {
  yaml::expect_keys(value, {"after", "before", "nodes"}, "'insert'");
  InsertEdit edit;
  edit.anchor = read_selector(read_side(value, "insert", edit.before));
  edit.nodes = yaml::require_mapping(required(value, "nodes", "insert"), "'nodes'");
  if (edit.nodes.entries.empty()) throw Error("'insert' inserts nothing", value.where);
  return edit;
}

RewireEdit read_rewire(const yaml::Value& value) {
  RewireEdit edit;
  for (const yaml::Entry& entry : yaml::require_mapping(value, "'rewire'").entries) {
    Selector selector;
    selector.glob = Glob(entry.key, entry.where);
    selector.where = entry.where;
    edit.wirings.push_back({std::move(selector), entry.value});
  }
  if (edit.wirings.empty()) throw Error("'rewire' rewires nothing", value.where);
  return edit;
}

MoveEdit read_move(const yaml::Value& value) {
  yaml::expect_keys(value, {"node", "after", "before"}, "'move'");
  MoveEdit edit;
  edit.target = read_selector(required(value, "node", "move"));
  edit.anchor = read_side(value, "move", edit.before);
  return edit;
}

ApplyEdit read_apply(const yaml::Value& value) {
  ApplyEdit edit;
  edit.names = value.is_sequence() ? value.items : std::vector<yaml::Value>{value};
  for (const yaml::Value& name : edit.names) yaml::require_text(name, "'apply'");
  return edit;
}

constexpr std::array<std::string_view, 7> kVerbs = {"set",    "remove", "replace", "insert",
                                                    "rewire", "move",   "apply"};

void read_action(Edit& edit, const yaml::Entry& verb) {
  const yaml::Value& value = verb.value;
  if (value.is_null()) throw Error(fmt::format("'{}' has no value", verb.key), verb.where);
  if (verb.key == "set") edit.action = read_set(value);
  if (verb.key == "remove") edit.action = read_remove(value);
  if (verb.key == "replace") edit.action = read_replace(value);
  if (verb.key == "insert") edit.action = read_insert(value);
  if (verb.key == "rewire") edit.action = read_rewire(value);
  if (verb.key == "move") edit.action = read_move(value);
  if (verb.key == "apply") edit.action = read_apply(value);
}

Edit read_edit(const yaml::Value& value) {
  yaml::require_mapping(value, "an edit");
  Edit edit;
  const yaml::Entry* verb = nullptr;
  for (const yaml::Entry& entry : value.entries) {
    if (entry.key == "expect") {
      edit.expect = static_cast<int>(yaml::require_integer(entry.value, "'expect'", 1, INT_MAX));
      edit.expect_where = entry.value.where;
    } else if (std::find(kVerbs.begin(), kVerbs.end(), entry.key) == kVerbs.end()) {
      Error error(fmt::format("unknown edit '{}'", entry.key), entry.where);
      const std::string hint = did_you_mean(entry.key, {kVerbs.begin(), kVerbs.end()});
      throw error.note(hint.empty() ? fmt::format("the edits are {}", fmt::join(kVerbs, ", "))
                                    : hint);
    } else if (verb != nullptr) {
      throw Error(fmt::format("an edit has one verb, got '{}' and '{}'", verb->key, entry.key),
                  entry.where);
    } else {
      verb = &entry;
    }
  }
  if (verb == nullptr) {
    throw Error(fmt::format("an edit needs one of {}", fmt::join(kVerbs, ", ")), value.where);
  }
  edit.where = verb->where;
  read_action(edit, *verb);
  if (edit.expect && verb->key == "apply") {
    throw Error("'expect' cannot stand beside 'apply'", edit.expect_where);
  }
  return edit;
}

}  // namespace

std::vector<Edit> read_edits(const yaml::Value& list) {
  std::vector<Edit> edits;
  for (const yaml::Value& item : yaml::require_sequence(list, "'edits'").items) {
    edits.push_back(read_edit(item));
  }
  return edits;
}

}  // namespace expgraph
