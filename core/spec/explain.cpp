// explain: an attribute of a flat spec -> the lines, parameters and edits that gave it its value.
#include "core/spec/explain.h"

#include <fmt/format.h>

#include <set>

namespace expgraph {
namespace {

constexpr size_t kDeepest = 64;  // as deep as blocks may nest

/// A value as it was written, before parameters were put in.
std::string written(const yaml::Value& value) {
  if (value.origin != nullptr) return value.origin->text;
  if (!value.is_sequence()) return yaml::to_text(value);
  std::string out;
  for (const yaml::Value& item : value.items) out += (out.empty() ? "" : ", ") + written(item);
  return fmt::format("[{}]", out);
}

void add_line(std::string& out, size_t depth, const Location& where, const std::string& text) {
  out +=
      fmt::format("{}{}{}\n", std::string(2 * depth, ' '), where ? where.str() + ": " : "", text);
}

using Reads = decltype(yaml::Origin::read);

/// Parameters that a value, or an item of it, read.
void collect_reads(const yaml::Value& value, Reads& reads) {
  if (value.origin != nullptr) {
    reads.insert(reads.end(), value.origin->read.begin(), value.origin->read.end());
    return;
  }
  for (const yaml::Value& item : value.items) collect_reads(item, reads);
}

/// Each parameter once, and below it what it read itself.
void add_reads(std::string& out, size_t depth, const Reads& reads) {
  if (depth > kDeepest) return;
  std::set<std::string> seen;
  for (const auto& [name, read] : reads) {
    if (!seen.insert(name).second) continue;
    const std::string role = read->role.empty() ? "" : ", " + read->role;
    add_line(out, depth, read->where, fmt::format("{} = {}{}", name, read->text, role));
    add_reads(out, depth + 1, read->read);
  }
}

}  // namespace

std::string explain(const AttributeSpec& attribute) {
  std::string out;
  for (const AttributeSpec* set = &attribute; set != nullptr; set = set->before.get()) {
    const yaml::Value& value = set->value;
    const Location& where = value.origin != nullptr ? value.origin->where : value.where;
    const std::string by = set->by.empty() ? "" : ", by " + set->by;
    const std::string when = set == &attribute ? "" : "before: ";
    add_line(out, 1, where, fmt::format("{}{}{}", when, written(value), by));
    Reads reads;
    collect_reads(value, reads);
    add_reads(out, 2, reads);
  }
  return out;
}

std::string explain_chain(const SpecNode& node) {
  std::string out;
  for (auto link = node.chain.rbegin(); link != node.chain.rend(); ++link) {
    add_line(out, 1, link->second, fmt::format("in {}", link->first));
  }
  return out;
}

}  // namespace expgraph
