// spec_diff: two flat specs -> what differs, by path.
#include "core/spec/spec_diff.h"

#include <algorithm>
#include <set>
#include <unordered_map>

namespace expgraph {
namespace {

using Index = std::unordered_map<std::string_view, const SpecNode*>;

Index index_of(const FlatSpec& spec) {
  Index index;
  index.reserve(spec.nodes.size());
  for (const SpecNode& node : spec.nodes) index.emplace(node.path, &node);
  return index;
}

std::string text_of(const AttributeSpec* attribute) {
  return attribute == nullptr ? std::string() : yaml::to_text(attribute->value);
}

void compare_attributes(const SpecNode& before, const SpecNode& after,
                        std::vector<SpecDiff::AttributeChange>& changes) {
  std::set<std::string> names;
  for (const AttributeSpec& attribute : before.attributes) names.insert(attribute.name);
  for (const AttributeSpec& attribute : after.attributes) names.insert(attribute.name);
  for (const std::string& name : names) {
    const std::string old = text_of(before.find(name));
    const std::string now = text_of(after.find(name));
    if (old != now) changes.push_back({after.path, name, old, now});
  }
}

}  // namespace

SpecDiff diff(const FlatSpec& before, const FlatSpec& after) {
  SpecDiff result;
  const Index old = index_of(before);
  const Index now = index_of(after);
  for (const SpecNode& node : before.nodes) {
    if (!now.contains(node.path)) result.removed.push_back(node.path);
  }
  for (const SpecNode& node : after.nodes) {
    const auto found = old.find(node.path);
    if (found == old.end()) {
      result.added.push_back(node.path);
      continue;
    }
    const SpecNode& was = *found->second;
    const size_t known = result.attributes.size();
    compare_attributes(was, node, result.attributes);
    const bool other_kind = was.op != node.op || was.is_group != node.is_group;
    if (other_kind) result.attributes.push_back({node.path, "op", was.op, node.op});
    if (result.attributes.size() > known) {
      result.changed.push_back(node.path);
    } else if (was.inputs != node.inputs || was.named != node.named || was.output != node.output ||
               was.evaluates != node.evaluates) {
      result.rewired.push_back(node.path);
    }
  }
  return result;
}

}  // namespace expgraph
