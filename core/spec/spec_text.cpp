// spec_text: FlatSpec -> canonical YAML, which reads back to the same FlatSpec.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_map>

#include "core/spec/graph_spec.h"
#include "core/spec/paths.h"

namespace expgraph {
namespace {

/// Numbers in shortest form, and "$" escaped.
yaml::Value canonical(yaml::Value value) {
  for (yaml::Value& item : value.items) item = canonical(std::move(item));
  for (yaml::Entry& entry : value.entries) entry.value = canonical(std::move(entry.value));
  if (!value.is_scalar()) return value;
  if (!value.quoted) {
    if (const auto integer = yaml::to_integer(value.scalar)) {
      value.scalar = fmt::format("{}", *integer);
    } else if (const auto number = yaml::to_number(value.scalar)) {
      value.scalar = fmt::format("{}", *number);
    }
  }
  for (size_t at = value.scalar.find('$'); at != std::string::npos;
       at = value.scalar.find('$', at + 2)) {
    value.scalar.insert(at, 1, '$');
  }
  return value;
}

class Writer {
 public:
  explicit Writer(const FlatSpec& spec) : spec_(spec) {
    for (const SpecNode& node : spec.nodes) {
      members_[std::string(parent_path(node.path))].push_back(&node);
    }
  }

  std::string run() {
    if (!spec_.is_network) {
      out_ = fmt::format("pipeline: {}\n", name());
      for (const SpecNode* side : members("")) write_group(*side, 0);
      return out_;
    }
    out_ = fmt::format("network: {}\n", name());
    write_output("", spec_.output, 0);
    out_ += "nodes:\n";
    for (const SpecNode* node : members("")) write(*node, 2);
    return out_;
  }

 private:
  std::string name() const {
    yaml::Value value;
    value.kind = yaml::Kind::scalar;
    value.scalar = spec_.name;
    value.quoted = true;
    return yaml::to_text(value);
  }

  const std::vector<const SpecNode*>& members(const std::string& group) { return members_[group]; }

  void line(size_t indent, const std::string& text) {
    out_ += std::string(indent, ' ') + text + "\n";
  }

  void write(const SpecNode& node, size_t indent) {
    if (node.is_group && node.evaluates.empty()) {
      write_group(node, indent);
    } else {
      line(indent,
           fmt::format("{}: {{{}}}", last_component(node.path), fmt::join(fields(node), ", ")));
    }
  }

  /// "op: conv2d", "inputs: [in]", then named inputs and attributes by name.
  static std::vector<std::string> fields(const SpecNode& node) {
    const std::string group(parent_path(node.path));
    std::vector<std::string> result;
    result.push_back(node.is_group
                         ? fmt::format("evaluate: {}", relative_path(node.evaluates, group))
                         : fmt::format("op: {}", node.op));
    if (!node.inputs.empty()) result.push_back(inputs(node));
    std::vector<std::string> rest;
    for (const auto& [input, reference] : node.named) {
      rest.push_back(fmt::format("{}: {}", input, relative_path(reference.path, group)));
    }
    for (const AttributeSpec& attribute : node.attributes) {
      rest.push_back(
          fmt::format("{}: {}", attribute.name, yaml::to_text(canonical(attribute.value))));
    }
    std::sort(rest.begin(), rest.end());
    result.insert(result.end(), rest.begin(), rest.end());
    return result;
  }

  static std::string inputs(const SpecNode& node) {
    std::vector<std::string> paths;
    for (const Reference& reference : node.inputs) {
      paths.push_back(relative_path(reference.path, parent_path(node.path)));
    }
    return fmt::format("inputs: [{}]", fmt::join(paths, ", "));
  }

  void write_group(const SpecNode& node, size_t indent) {
    line(indent, fmt::format("{}:", last_component(node.path)));
    for (const AttributeSpec& attribute : node.attributes) {
      line(indent + 2,
           fmt::format("{}: {}", attribute.name, yaml::to_text(canonical(attribute.value))));
    }
    if (!node.inputs.empty()) line(indent + 2, inputs(node));
    write_output(node.path, node.output, indent + 2);
    line(indent + 2, "nodes:");
    for (const SpecNode* member : members(node.path)) write(*member, indent + 4);
  }

  /// The output of a group is its last member unless it says otherwise.
  void write_output(const std::string& group, const std::string& output, size_t indent) {
    const auto& inside = members(group);
    if (!inside.empty() && inside.back()->path == output) return;
    line(indent, fmt::format("output: {}", relative_path(output, group)));
  }

  const FlatSpec& spec_;
  std::unordered_map<std::string, std::vector<const SpecNode*>> members_;
  std::string out_;
};

}  // namespace

std::string to_yaml(const FlatSpec& spec) { return Writer(spec).run(); }

}  // namespace expgraph
