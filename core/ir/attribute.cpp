// attribute: typed constants of a node -> text, checked access.
#include "core/ir/attribute.h"

#include <fmt/format.h>

#include <stdexcept>

namespace expgraph {
namespace {

/// A real always shows that it is one: 1 -> "1.0".
std::string real_text(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
  return text;
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

template <typename T, typename Print>
std::string list_text(const std::vector<T>& values, Print print) {
  std::string out = "[";
  for (const T& value : values) {
    if (out.size() > 1) out += ", ";
    out += print(value);
  }
  return out + "]";
}

template <typename T>
const T& get(const Attributes& attributes, std::string_view name) {
  const AttributeValue* value = attributes.find(name);
  if (value == nullptr) throw std::logic_error(fmt::format("no attribute '{}'", name));
  const T* typed = std::get_if<T>(value);
  if (typed == nullptr) {
    throw std::logic_error(fmt::format("attribute '{}' is of another kind", name));
  }
  return *typed;
}

}  // namespace

std::string_view to_string(AttributeKind kind) {
  switch (kind) {
    case AttributeKind::boolean:
      return "true or false";
    case AttributeKind::integer:
      return "an integer";
    case AttributeKind::real:
      return "a number";
    case AttributeKind::text:
      return "a text";
    case AttributeKind::integers:
      return "a list of integers";
    case AttributeKind::reals:
      return "a list of numbers";
  }
  return "";
}

std::string to_text(const AttributeValue& value) {
  struct Printer {
    std::string operator()(bool flag) const { return flag ? "true" : "false"; }
    std::string operator()(int64_t number) const { return fmt::format("{}", number); }
    std::string operator()(double number) const { return real_text(number); }
    std::string operator()(const std::string& text) const { return quoted(text); }
    std::string operator()(const std::vector<int64_t>& list) const {
      return list_text(list, [](int64_t number) { return fmt::format("{}", number); });
    }
    std::string operator()(const std::vector<double>& list) const {
      return list_text(list, real_text);
    }
  };
  return std::visit(Printer{}, value);
}

std::string to_text(const Attributes& attributes) {
  std::string out;
  for (const auto& [name, value] : attributes) out += fmt::format(" {}={}", name, to_text(value));
  return out;
}

const AttributeValue* Attributes::find(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? nullptr : &found->second;
}

void Attributes::erase(std::string_view name) {
  const auto found = values_.find(name);
  if (found != values_.end()) values_.erase(found);
}

bool Attributes::flag(std::string_view name) const { return get<bool>(*this, name); }
int64_t Attributes::integer(std::string_view name) const { return get<int64_t>(*this, name); }
double Attributes::real(std::string_view name) const { return get<double>(*this, name); }
const std::string& Attributes::text(std::string_view name) const {
  return get<std::string>(*this, name);
}
const std::vector<int64_t>& Attributes::integers(std::string_view name) const {
  return get<std::vector<int64_t>>(*this, name);
}
const std::vector<double>& Attributes::reals(std::string_view name) const {
  return get<std::vector<double>>(*this, name);
}

}  // namespace expgraph
