// selector: a path glob, an operator, attribute values -> the entries of a flat spec they mean.
#include "core/spec/selector.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

namespace expgraph {
namespace {

constexpr size_t kMaxAlternatives = 256;

/// "a{b,c}d" -> "abd", "acd"; the first brace is expanded, the rest by the calls that follow.
void expand_braces(const std::string& text, const Location& where, std::vector<std::string>& out) {
  const size_t open = text.find('{');
  if (open == std::string::npos) {
    if (text.find('}') != std::string::npos) {
      throw Error(fmt::format("'{}': '}}' without '{{'", text), where);
    }
    if (out.size() >= kMaxAlternatives) {
      throw Error(fmt::format("more than {} alternatives", kMaxAlternatives), where);
    }
    out.push_back(text);
    return;
  }
  const size_t close = text.find('}', open);
  const std::string inside =
      close == std::string::npos ? std::string() : text.substr(open + 1, close - open - 1);
  if (close == std::string::npos || inside.find('{') != std::string::npos) {
    throw Error(fmt::format("'{}': each '{{' needs its own '}}'", text), where);
  }
  for (size_t start = 0; start <= inside.size();) {
    const size_t comma = std::min(inside.find(',', start), inside.size());
    expand_braces(
        text.substr(0, open) + inside.substr(start, comma - start) + text.substr(close + 1), where,
        out);
    start = comma + 1;
  }
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> components;
  while (true) {
    const size_t slash = text.find('/');
    components.emplace_back(text.substr(0, slash));
    if (slash == std::string_view::npos) return components;
    text.remove_prefix(slash + 1);
  }
}

/// `*` and `?` within one component: linear in the text, with one point to go back to.
bool matches_component(std::string_view pattern, std::string_view text) {
  size_t p = 0;
  size_t t = 0;
  size_t star = std::string_view::npos;
  size_t retry = 0;
  while (t < text.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t]) && pattern[p] != '*') {
      ++p;
      ++t;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      retry = t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++retry;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

/// The same, one level up: `**` goes over components as `*` goes over characters.
bool matches_path(std::span<const std::string> pattern, std::span<const std::string_view> path) {
  size_t p = 0;
  size_t t = 0;
  size_t star = SIZE_MAX;
  size_t retry = 0;
  while (t < path.size()) {
    if (p < pattern.size() && pattern[p] == "**") {
      star = p++;
      retry = t;
    } else if (p < pattern.size() && matches_component(pattern[p], path[t])) {
      ++p;
      ++t;
    } else if (star != SIZE_MAX) {
      p = star + 1;
      t = ++retry;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == "**") ++p;
  return p == pattern.size();
}

bool has_attribute(const SpecNode& node, const AttributeSpec& wanted) {
  const AttributeSpec* attribute = node.find(wanted.name);
  return attribute != nullptr && yaml::to_text(attribute->value) == yaml::to_text(wanted.value);
}

}  // namespace

Glob::Glob(std::string text, const Location& where) : text_(std::move(text)) {
  prefix_ = text_.substr(0, text_.find_first_of("*?{"));
  std::vector<std::string> expanded;
  expand_braces(text_, where, expanded);
  for (const std::string& alternative : expanded) {
    Components& components = alternatives_.emplace_back(split(alternative));
    if (std::find(components.begin(), components.end(), "") != components.end()) {
      throw Error(fmt::format("'{}' is not a path of nodes", text_), where);
    }
    // At the end it means the members, not the group itself.
    if (components.back() == "**") components.emplace_back("*");
  }
}

bool Glob::matches(std::string_view path) const {
  if (!path.starts_with(prefix_)) return false;
  if (prefix_.size() == text_.size()) return path == text_;
  std::vector<std::string_view> components;
  for (std::string_view rest = path;;) {
    const size_t slash = rest.find('/');
    components.push_back(rest.substr(0, slash));
    if (slash == std::string_view::npos) break;
    rest.remove_prefix(slash + 1);
  }
  return std::any_of(alternatives_.begin(), alternatives_.end(),
                     [&](const Components& pattern) { return matches_path(pattern, components); });
}

Selector read_selector(const yaml::Value& value) {
  Selector selector;
  selector.where = value.where;
  if (!value.is_mapping()) {
    selector.glob = Glob(yaml::require_text(value, "the path of an edit"), value.where);
    return selector;
  }
  yaml::expect_keys(value, {"path", "op", "where"}, "a selector");
  if (value.entries.empty()) {
    throw Error("a selector needs one of 'path', 'op', 'where'", value.where);
  }
  if (const yaml::Value* path = value.find("path")) {
    selector.glob = Glob(yaml::require_text(*path, "'path'"), path->where);
  }
  if (const yaml::Value* op = value.find("op")) selector.op = yaml::require_text(*op, "'op'");
  if (const yaml::Value* attributes = value.find("where")) {
    for (const yaml::Entry& entry : yaml::require_mapping(*attributes, "'where'").entries) {
      selector.attributes.push_back({entry.key, entry.value, entry.where});
    }
  }
  return selector;
}

std::vector<size_t> match(const Selector& selector, const FlatSpec& spec) {
  std::vector<size_t> found;
  for (size_t i = 0; i < spec.nodes.size(); ++i) {
    const SpecNode& node = spec.nodes[i];
    if (!selector.op.empty() && node.op != selector.op) continue;
    if (!std::all_of(selector.attributes.begin(), selector.attributes.end(),
                     [&](const AttributeSpec& wanted) { return has_attribute(node, wanted); })) {
      continue;
    }
    if (selector.glob.matches(node.path)) found.push_back(i);
  }
  return found;
}

}  // namespace expgraph
