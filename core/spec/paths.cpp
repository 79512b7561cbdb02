// paths: the names of nodes, and how one is written from inside a group.
#include "core/spec/paths.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace expgraph {
namespace {

bool is_name(std::string_view name) {
  const auto is_letter = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
  };
  return !name.empty() && name.size() <= 100 &&
         std::isdigit(static_cast<unsigned char>(name[0])) == 0 &&
         std::all_of(name.begin(), name.end(), is_letter);
}

}  // namespace

std::string join_path(std::string_view group, std::string_view name) {
  if (group.empty()) return std::string(name);
  return fmt::format("{}/{}", group, name);
}

std::string_view parent_path(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

std::string_view last_component(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

bool is_within(std::string_view path, std::string_view group) {
  return group.empty() ||
         (path.size() > group.size() && path.starts_with(group) && path[group.size()] == '/');
}

void check_name(std::string_view name, std::string_view what, const Location& where) {
  if (name == "in") throw Error(fmt::format("{} 'in': the name of a group's input", what), where);
  if (!is_name(name)) {
    throw Error(
        fmt::format("{} '{}': a name is a letter or '_', then letters, digits and '_'", what, name),
        where);
  }
}

std::string absolute_path(std::string_view text, std::string_view group, const Location& where) {
  std::string result(group);
  std::string_view rest = text;
  bool climbing = true;
  while (true) {
    const size_t slash = rest.find('/');
    const std::string_view component = rest.substr(0, slash);
    if (component == ".." && climbing) {
      if (result.empty()) throw Error(fmt::format("'{}' leads out of the graph", text), where);
      result = parent_path(result);
    } else if (is_name(component)) {
      climbing = false;
      result = join_path(result, component);
    } else {
      throw Error(fmt::format("'{}' is not the name of a node", text), where);
    }
    if (slash == std::string_view::npos) break;
    rest.remove_prefix(slash + 1);
  }
  if (climbing) throw Error(fmt::format("'{}' is not the name of a node", text), where);
  return result;
}

std::string relative_path(std::string_view path, std::string_view group) {
  std::string prefix;
  while (!is_within(path, group)) {
    prefix += "../";
    group = parent_path(group);
  }
  return prefix + std::string(group.empty() ? path : path.substr(group.size() + 1));
}

}  // namespace expgraph
