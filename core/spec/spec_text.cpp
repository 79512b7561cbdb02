// spec_text: FlatSpec -> canonical YAML, which reads back to the same FlatSpec.
#include "core/spec/spec_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_map>

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

std::string inputs_text(const SpecNode& node) {
  std::vector<std::string> paths;
  for (const Reference& reference : node.inputs) {
    paths.push_back(relative_path(reference.path, parent_path(node.path)));
  }
  return fmt::format("inputs: [{}]", fmt::join(paths, ", "));
}

class Writer {
 public:
  explicit Writer(const FlatSpec& spec) : spec_(spec) {
    for (const SpecNode& node : spec.nodes) {
      members_[std::string(parent_path(node.path))].push_back(&node);
    }
  }

  std::string body(const SpecNode& group, size_t indent) {
    write_body(group, indent);
    return std::move(out_);
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
      line(indent, fmt::format("{}: {}", last_component(node.path), node_text(node)));
    }
  }

  void write_group(const SpecNode& node, size_t indent) {
    line(indent, fmt::format("{}:", last_component(node.path)));
    write_body(node, indent + 2);
  }

  void write_body(const SpecNode& node, size_t indent) {
    for (const AttributeSpec& attribute : node.attributes) {
      line(indent, fmt::format("{}: {}", attribute.name, value_text(attribute.value)));
    }
    if (!node.inputs.empty()) line(indent, inputs_text(node));
    write_output(node.path, node.output, indent);
    line(indent, "nodes:");
    for (const SpecNode* member : members(node.path)) write(*member, indent + 2);
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

std::string value_text(const yaml::Value& value) { return yaml::to_text(canonical(value)); }

std::string node_text(const SpecNode& node, bool with_inputs) {
  const std::string group(parent_path(node.path));
  std::vector<std::string> fields;
  fields.push_back(node.is_group ? fmt::format("evaluate: {}", relative_path(node.evaluates, group))
                                 : fmt::format("op: {}", node.op));
  if (with_inputs && !node.inputs.empty()) fields.push_back(inputs_text(node));
  std::vector<std::string> rest;
  for (const auto& [input, reference] : node.named) {
    rest.push_back(fmt::format("{}: {}", input, relative_path(reference.path, group)));
  }
  for (const AttributeSpec& attribute : node.attributes) {
    rest.push_back(fmt::format("{}: {}", attribute.name, value_text(attribute.value)));
  }
  std::sort(rest.begin(), rest.end());
  fields.insert(fields.end(), rest.begin(), rest.end());
  return fmt::format("{{{}}}", fmt::join(fields, ", "));
}

std::string group_text(const FlatSpec& spec, const SpecNode& group, size_t indent) {
  return Writer(spec).body(group, indent);
}

std::string to_yaml(const FlatSpec& spec) { return Writer(spec).run(); }

}  // namespace expgraph
