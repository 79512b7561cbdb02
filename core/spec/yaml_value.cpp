// yaml_value: yaml::Value -> text, numbers and checked access.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/spec/yaml.h"
#include "core/support/suggest.h"

namespace expgraph::yaml {
namespace {

bool is_plain_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_./+-").find(c) != std::string_view::npos;
}

/// True for words that YAML readers take for something other than text.
bool is_special_word(std::string_view text) {
  constexpr std::string_view words[] = {"null", "Null", "NULL", "true", "false"};
  return std::find(std::begin(words), std::end(words), text) != std::end(words);
}

std::string scalar_text(const Value& value) {
  const std::string& text = value.scalar;
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), is_plain_character) &&
                     text != "-" && !text.starts_with("---") && text != "...";
  const bool means_other = value.quoted && (to_number(text) || is_special_word(text));
  if (plain && !means_other) return text;
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += fmt::format("\\{}", c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\x{:02x}", c);
    } else {
      out += c;
    }
  }
  return out + "\"";
}

template <typename Number>
std::optional<Number> convert(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  const size_t first = text.starts_with('-') ? 1 : 0;
  // from_chars would also read "inf" and "nan".
  if (text.size() <= first || std::string_view("0123456789.").find(text[first]) == text.npos) {
    return std::nullopt;
  }
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

[[noreturn]] void wrong_kind(std::string_view what, std::string_view expected, const Value& value) {
  throw Error(fmt::format("{} must be {}, got {}", what, expected, describe(value)), value.where);
}

}  // namespace

const Value* Value::find(std::string_view key) const {
  for (const Entry& entry : entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

std::string to_text(const Value& value) {
  switch (value.kind) {
    case Kind::null:
      return "null";
    case Kind::scalar:
      return scalar_text(value);
    case Kind::sequence: {
      std::vector<std::string> items;
      for (const Value& item : value.items) items.push_back(to_text(item));
      return fmt::format("[{}]", fmt::join(items, ", "));
    }
    case Kind::mapping: {
      std::vector<std::string> entries;
      for (const Entry& entry : value.entries) {
        Value key;
        key.kind = Kind::scalar;
        key.scalar = entry.key;
        entries.push_back(fmt::format("{}: {}", scalar_text(key), to_text(entry.value)));
      }
      return fmt::format("{{{}}}", fmt::join(entries, ", "));
    }
  }
  return {};
}

std::optional<int64_t> to_integer(std::string_view text) { return convert<int64_t>(text); }

std::optional<double> to_number(std::string_view text) {
  const std::optional<double> number = convert<double>(text);
  return number && std::isfinite(*number) ? number : std::nullopt;
}

size_t count_values(const Value& value) {
  size_t count = 1;
  for (const Value& item : value.items) count += count_values(item);
  for (const Entry& entry : value.entries) count += count_values(entry.value);
  return count;
}

std::string describe(const Value& value) {
  switch (value.kind) {
    case Kind::null:
      return "nothing";
    case Kind::scalar:
      return fmt::format("'{}'", value.scalar);
    case Kind::sequence:
      return "a list";
    case Kind::mapping:
      return "a mapping";
  }
  return {};
}

const Value& require_mapping(const Value& value, std::string_view what) {
  if (!value.is_mapping()) wrong_kind(what, "a mapping", value);
  return value;
}

const Value& require_sequence(const Value& value, std::string_view what) {
  if (!value.is_sequence()) wrong_kind(what, "a list", value);
  return value;
}

const std::string& require_text(const Value& value, std::string_view what) {
  if (!value.is_scalar() || value.scalar.empty()) wrong_kind(what, "a text", value);
  return value.scalar;
}

int64_t require_integer(const Value& value, std::string_view what, int64_t low, int64_t high) {
  const auto number =
      value.is_scalar() && !value.quoted ? to_integer(value.scalar) : std::optional<int64_t>();
  if (!number) wrong_kind(what, "an integer", value);
  if (*number < low || *number > high) {
    throw Error(fmt::format("{} must be {} to {}, got {}", what, low, high, *number), value.where);
  }
  return *number;
}

void expect_keys(const Value& value, std::initializer_list<std::string_view> known,
                 std::string_view what) {
  require_mapping(value, what);
  for (const Entry& entry : value.entries) {
    if (std::find(known.begin(), known.end(), entry.key) != known.end()) continue;
    Error error(fmt::format("unknown key '{}' in {}", entry.key, what), entry.where);
    const std::string hint = did_you_mean(entry.key, {known.begin(), known.end()});
    error.note(hint.empty() ? fmt::format("its keys are {}", fmt::join(known, ", ")) : hint);
    throw error;
  }
}

}  // namespace expgraph::yaml
