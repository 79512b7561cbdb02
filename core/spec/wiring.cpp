// wiring: entries of a flat spec taken out and put in, their readers wired anew.
#include "core/spec/wiring.h"

#include <fmt/format.h>

#include <functional>
#include <iterator>
#include <unordered_map>
#include <unordered_set>

#include "core/spec/paths.h"

namespace expgraph {
namespace {

/// Every reference of an entry, its output included, as a path that may be changed.
void for_each_reference(SpecNode& node, const std::function<void(std::string&)>& visit) {
  for (Reference& reference : node.inputs) visit(reference.path);
  for (auto& [name, reference] : node.named) visit(reference.path);
  if (node.is_group && node.evaluates.empty()) visit(node.output);
}

bool is_gone(std::string_view path, const std::set<std::string>& paths) {
  for (; !path.empty(); path = parent_path(path)) {
    if (paths.contains(std::string(path))) return true;
  }
  return false;
}

/// What `reader` reads once `paths` are gone.
std::string read_instead(std::string path, const std::string& reader,
                         const std::set<std::string>& paths,
                         const std::unordered_map<std::string, std::string>& first_input) {
  while (is_gone(path, paths)) {
    const auto found = first_input.find(path);
    if (found == first_input.end()) {
      throw Error(fmt::format("'{}' reads '{}', which would be gone", reader, path));
    }
    if (found->second.empty()) {
      throw Error(fmt::format("'{}' has no input that its reader '{}' could take", path, reader));
    }
    path = found->second;
  }
  return path;
}

std::set<std::string> empty_groups(const FlatSpec& spec) {
  std::unordered_set<std::string_view> parents;
  for (const SpecNode& node : spec.nodes) parents.insert(parent_path(node.path));
  std::set<std::string> empty;
  for (const SpecNode& node : spec.nodes) {
    if (!node.is_group || !node.evaluates.empty() || parents.contains(node.path)) continue;
    if (!spec.is_network && parent_path(node.path).empty()) {
      throw Error(fmt::format("nothing would be left of '{}'", node.path));
    }
    empty.insert(node.path);
  }
  return empty;
}

}  // namespace

void bypass(FlatSpec& spec, const std::set<std::string>& paths) {
  std::unordered_map<std::string, std::string> first_input;
  for (const SpecNode& node : spec.nodes) {
    if (!paths.contains(node.path)) continue;
    first_input[node.path] = node.inputs.empty() ? std::string() : node.inputs[0].path;
  }
  for (SpecNode& node : spec.nodes) {
    if (is_gone(node.path, paths)) continue;
    if (is_gone(node.evaluates, paths)) {
      throw Error(
          fmt::format("'{}' evaluates '{}', which cannot be removed", node.path, node.evaluates));
    }
    for_each_reference(
        node, [&](std::string& path) { path = read_instead(path, node.path, paths, first_input); });
  }
  if (spec.is_network) {
    spec.output = read_instead(spec.output, spec.name, paths, first_input);
  }
}

void remove_entries(FlatSpec& spec, std::set<std::string> paths) {
  while (!paths.empty()) {
    bypass(spec, paths);
    std::erase_if(spec.nodes, [&](const SpecNode& node) { return is_gone(node.path, paths); });
    paths = empty_groups(spec);
  }
}

void wire_in(FlatSpec& spec, const std::string& anchor, const std::string& last, bool before) {
  for (SpecNode& node : spec.nodes) {
    if (before && node.path == anchor) node.inputs[0].path = last;
    if (before) continue;
    for_each_reference(node, [&](std::string& path) {
      if (path == anchor) path = last;
    });
  }
  if (!before && spec.is_network && spec.output == anchor) spec.output = last;
}

void drop_unread_inputs(FlatSpec& spec) {
  std::unordered_set<std::string> read;
  const auto add = [&read](const std::string& path) {
    if (path.ends_with("/in")) read.insert(path);
  };
  for (SpecNode& node : spec.nodes) {
    if (node.is_group && node.evaluates.empty()) {
      add(node.output);
    } else {
      for_each_reference(node, add);
    }
  }
  // Members come after their group: what an inner group reads is known before the outer's turn.
  for (auto node = spec.nodes.rbegin(); node != spec.nodes.rend(); ++node) {
    if (!node->is_group || !node->evaluates.empty() || node->inputs.empty()) continue;
    if (read.contains(node->path + "/in")) {
      add(node->inputs[0].path);
    } else {
      node->inputs.clear();
    }
  }
}

size_t place_of(const FlatSpec& spec, std::string_view path) {
  const SpecNode* node = spec.find(path);
  EXPGRAPH_CHECK(node != nullptr);
  return static_cast<size_t>(node - spec.nodes.data());
}

size_t place_after(const FlatSpec& spec, std::string_view path) {
  size_t place = place_of(spec, path) + 1;
  while (place < spec.nodes.size() && is_within(spec.nodes[place].path, path)) ++place;
  return place;
}

std::vector<SpecNode> take_out(FlatSpec& spec, std::string_view path) {
  const auto begin = spec.nodes.begin() + static_cast<ptrdiff_t>(place_of(spec, path));
  const auto end = spec.nodes.begin() + static_cast<ptrdiff_t>(place_after(spec, path));
  std::vector<SpecNode> taken(std::make_move_iterator(begin), std::make_move_iterator(end));
  spec.nodes.erase(begin, end);
  return taken;
}

void put_in(FlatSpec& spec, size_t place, std::vector<SpecNode> nodes) {
  spec.nodes.insert(spec.nodes.begin() + static_cast<ptrdiff_t>(place),
                    std::make_move_iterator(nodes.begin()), std::make_move_iterator(nodes.end()));
}

}  // namespace expgraph
