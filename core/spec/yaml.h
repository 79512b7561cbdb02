// yaml: text -> a tree with a location on every value. The only room that sees yaml-cpp, through
// its event handler: duplicate keys, deep nesting, alias bombs and huge files are errors here.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/support/diagnostics.h"

namespace expgraph::yaml {

enum class Kind { null, scalar, sequence, mapping };

struct Value;
struct Entry;

/// How a value came to be: as it was written, and the parameters that it read.
struct Origin {
  std::string text;  ///< as written: "$(2 * width)"
  Location where;
  std::string role;  ///< who gave it: "profile 'quick'", "default of block 'conv'"; may be ""
  std::vector<std::pair<std::string, std::shared_ptr<const Origin>>> read;  ///< name and origin
};

/// A YAML value. A scalar keeps its text; whether it was quoted tells '8' from 8.
struct Value {
  Kind kind = Kind::null;
  Location where;
  std::string scalar;
  bool quoted = false;
  std::vector<Value> items;                   ///< of a sequence
  std::vector<Entry> entries;                 ///< of a mapping, in order, keys unique
  std::shared_ptr<const Origin> origin = {};  ///< null: it stands in the source as it is

  const Value* find(std::string_view key) const;
  bool is_null() const { return kind == Kind::null; }
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

/// One document, which begins at byte `start` of the text. Throws Error at line and column.
Value parse(std::shared_ptr<const SourceText> source, const Limits& limits = {}, size_t start = 0);
/// Reads a file (size checked first) and parses it. A file that is not there is an Error at
/// `asked_at`.
Value parse_file(const std::string& path, const Location& asked_at = {}, const Limits& limits = {});

/// One line of YAML (flow style) that parses back to the value; texts are quoted where they must.
std::string to_text(const Value& value);

/// Numbers as the language writes them: 8, -1, 0.5, 5e-4. None for anything else.
std::optional<int64_t> to_integer(std::string_view text);
std::optional<double> to_number(std::string_view text);

/// Number of values in a value, itself included.
size_t count_values(const Value& value);

/// What a message calls a value: "'text'", "a list", "a mapping", "nothing".
std::string describe(const Value& value);

// Checked access for readers of documents. `what` names the value in messages: "'repeat'".

/// Error unless `value` is a mapping whose keys are all known (nearest key, or all of them).
void expect_keys(const Value& value, std::initializer_list<std::string_view> known,
                 std::string_view what);
const Value& require_mapping(const Value& value, std::string_view what);
const Value& require_sequence(const Value& value, std::string_view what);
const std::string& require_text(const Value& value, std::string_view what);
int64_t require_integer(const Value& value, std::string_view what, int64_t low, int64_t high);

}  // namespace expgraph::yaml
