// attribute: the typed constants of a node.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace expgraph {

enum class AttributeKind { boolean, integer, real, text, integers, reals };

std::string_view to_string(
    AttributeKind kind);  ///< "true or false", "an integer", "a list of numbers"

using AttributeValue =
    std::variant<bool, int64_t, double, std::string, std::vector<int64_t>, std::vector<double>>;

/// Text that parses back to the same value: reals in shortest round-trip form, texts quoted.
std::string to_text(const AttributeValue& value);

/// Name -> value, ordered by name. The getters throw std::logic_error for a name that is absent
/// or of another kind: schemas have filled in and checked every attribute before.
class Attributes {
 public:
  void set(std::string name, AttributeValue value) { values_[std::move(name)] = std::move(value); }
  bool has(std::string_view name) const { return values_.find(name) != values_.end(); }
  const AttributeValue* find(std::string_view name) const;
  void erase(std::string_view name);

  bool flag(std::string_view name) const;
  int64_t integer(std::string_view name) const;
  double real(std::string_view name) const;
  const std::string& text(std::string_view name) const;
  const std::vector<int64_t>& integers(std::string_view name) const;
  const std::vector<double>& reals(std::string_view name) const;

  auto begin() const { return values_.begin(); }
  auto end() const { return values_.end(); }
  bool empty() const { return values_.empty(); }
  bool operator==(const Attributes&) const = default;

 private:
  std::map<std::string, AttributeValue, std::less<>> values_;
};

/// " a=1 b=[2, 3]": each with a space before it.
std::string to_text(const Attributes& attributes);

}  // namespace expgraph
