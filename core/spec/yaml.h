// yaml: text -> a tree with a location on every value. The only room that sees yaml-cpp, through
// its event handler: duplicate keys, deep nesting, alias bombs and huge files are errors here.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/support/diagnostics.h"

namespace expgraph::yaml {

enum class Kind { null, scalar, sequence, mapping };

struct Value;
struct Entry;

/// A YAML value. A scalar keeps its text; whether it was quoted tells '8' from 8.
struct Value {
  Kind kind = Kind::null;
  Location where;
  std::string scalar;
  bool quoted = false;
  std::vector<Value> items;    ///< of a sequence
  std::vector<Entry> entries;  ///< of a mapping, in order, keys unique

  const Value* find(std::string_view key) const;
  bool is_mapping() const { return kind == Kind::mapping; }
  bool is_sequence() const { return kind == Kind::sequence; }
  bool is_scalar() const { return kind == Kind::scalar; }
};

struct Entry {
  std::string key;
  Location where;  ///< of the key
  Value value;
};

struct Limits {
  size_t bytes = size_t{4} << 20;
  int depth = 64;
  size_t values = 200'000;  ///< after aliases are expanded
};

/// One document. Throws Error at line and column.
Value parse(std::shared_ptr<const SourceText> source, const Limits& limits = {});
/// Reads a file (size checked first) and parses it. A file that is not there is an Error at
/// `asked_at`.
Value parse_file(const std::string& path, const Location& asked_at = {}, const Limits& limits = {});

/// YAML text of a value: block style, short sequences in flow style, keys in order.
std::string to_text(const Value& value);

}  // namespace expgraph::yaml
