// expression: "$name" and "$(2 * width)" in YAML values -> the values they stand for.
#include "core/spec/expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <functional>

#include "core/support/suggest.h"

namespace expgraph {
namespace {

constexpr double kLargestInteger = 9007199254740992.0;  // 2^53: whole numbers are exact up to here
constexpr int kMaxDepth = 50;
constexpr size_t kMaxText = 4096;
constexpr size_t kMaxValues = 100'000;  // in one call: lists of lists of parameters grow fast

bool is_name_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

struct Number {
  double value = 0;
  bool integer = true;

  std::string text() const {
    return integer ? fmt::format("{}", static_cast<int64_t>(value)) : fmt::format("{}", value);
  }
};

constexpr size_t kShownItems = 16;  // of a list, in an origin

/// Its own, or that of a literal: of a list, with what the items read.
std::shared_ptr<const yaml::Origin> origin_of(const yaml::Value& value) {
  if (value.origin != nullptr) return value.origin;
  const bool shown = value.is_sequence() && value.items.size() <= kShownItems;
  yaml::Origin origin{value.is_scalar() ? value.scalar
                      : shown           ? yaml::to_text(value)
                                        : yaml::describe(value),
                      value.where,
                      "",
                      {}};
  for (const yaml::Value& item : value.items) {
    if (item.origin == nullptr) continue;
    origin.read.insert(origin.read.end(), item.origin->read.begin(), item.origin->read.end());
  }
  return std::make_shared<const yaml::Origin>(std::move(origin));
}

/// One scalar and the parameters that it may read.
struct Context {
  const yaml::Value& value;
  const Bindings& bindings;
  std::set<std::string>* used;
  yaml::Origin& origin;  ///< of what the scalar becomes

  [[noreturn]] void fail(const std::string& message, size_t offset, size_t length) const {
    throw Error(message, place(offset, length));
  }

  /// The span in the source where the scalar stands there as it is, else the whole scalar.
  Location place(size_t offset, size_t length) const {
    Location where = value.where;
    if (!value.quoted && where.length == static_cast<int>(value.scalar.size())) {
      where.column += static_cast<int>(offset);
      where.length = static_cast<int>(length);
    }
    return where;
  }

  const yaml::Value& lookup(const std::string& name, size_t offset) const {
    const auto found = bindings.find(name);
    if (found == bindings.end()) {
      Error error(fmt::format("unknown parameter '{}'", name), place(offset, name.size()));
      std::vector<std::string> names;
      for (const auto& [known, unused] : bindings) names.push_back(known);
      const std::string hint = did_you_mean(name, names);
      if (!hint.empty()) error.note(hint);
      throw error;
    }
    if (used != nullptr) used->insert(name);
    origin.read.emplace_back(name, origin_of(found->second));
    return found->second;
  }
};

/// Recursive descent over the text between "$(" and ")".
class Evaluator {
 public:
  Evaluator(const Context& context, size_t position)
      : context_(context), text_(context.value.scalar), position_(position) {}

  /// Reads up to and with the closing parenthesis; `end` is the place after it.
  Number run(size_t& end) {
    const Number number = sum();
    if (!accept(')')) fail("expected an operator or ')'");
    end = position_;
    return number;
  }

 private:
  [[noreturn]] void fail(const std::string& message) const {
    context_.fail(fmt::format("{} in '{}'", message, text_), std::min(position_, text_.size() - 1),
                  1);
  }

  void skip_spaces() {
    while (position_ < text_.size() && text_[position_] == ' ') ++position_;
  }

  bool accept(char c) {
    skip_spaces();
    if (position_ >= text_.size() || text_[position_] != c) return false;
    ++position_;
    return true;
  }

  Number checked(double value, bool integer) const {
    if (!std::isfinite(value) || (integer && std::abs(value) > kLargestInteger)) {
      fail("number too large");
    }
    return {value, integer};
  }

  Number sum() {
    Number left = product();
    while (true) {
      if (accept('+')) {
        const Number right = product();
        left = checked(left.value + right.value, left.integer && right.integer);
      } else if (accept('-')) {
        const Number right = product();
        left = checked(left.value - right.value, left.integer && right.integer);
      } else {
        return left;
      }
    }
  }

  Number product() {
    Number left = unary();
    while (true) {
      if (accept('*')) {
        const Number right = unary();
        left = checked(left.value * right.value, left.integer && right.integer);
      } else if (accept('/')) {
        left = quotient(left, unary());
      } else if (accept('%')) {
        const Number right = unary();
        if (right.value == 0) fail("division by zero");
        if (!left.integer || !right.integer) fail("'%' needs integers");
        left = checked(std::fmod(left.value, right.value), true);
      } else {
        return left;
      }
    }
  }

  Number quotient(Number left, Number right) const {
    if (right.value == 0) fail("division by zero");
    const double value = left.value / right.value;
    return checked(value, left.integer && right.integer && value == std::floor(value));
  }

  Number unary() {
    if (accept('-')) {
      const Number number = unary_operand();
      return {number.integer ? 0 - number.value : -number.value, number.integer};
    }
    return unary_operand();
  }

  Number unary_operand() {
    if (++depth_ > kMaxDepth) fail("too many parentheses");
    const Number number = operand();
    --depth_;
    return number;
  }

  Number operand() {
    if (accept('(')) {
      const Number number = sum();
      if (!accept(')')) fail("expected ')'");
      return number;
    }
    skip_spaces();
    const size_t start = position_;
    if (start < text_.size() &&
        (std::isalpha(static_cast<unsigned char>(text_[start])) != 0 || text_[start] == '_')) {
      while (position_ < text_.size() && is_name_character(text_[position_])) ++position_;
      const std::string name = text_.substr(start, position_ - start);
      if (accept('(')) return call(name, start);
      return parameter(name, start);
    }
    return literal();
  }

  Number literal() {
    const size_t start = position_;
    while (position_ < text_.size()) {
      const char c = text_[position_];
      const bool exponent_sign = (c == '+' || c == '-') && position_ > start &&
                                 (text_[position_ - 1] == 'e' || text_[position_ - 1] == 'E');
      if (!is_name_character(c) && c != '.' && !exponent_sign) break;
      ++position_;
    }
    const std::optional<Number> number = to_number(text_.substr(start, position_ - start));
    if (!number) {
      position_ = start;
      fail("expected a number or a parameter");
    }
    return *number;
  }

  Number parameter(const std::string& name, size_t start) const {
    const yaml::Value& value = context_.lookup(name, start);
    const auto number = value.is_scalar() ? to_number(value.scalar) : std::optional<Number>();
    if (!number) {
      context_.fail(
          fmt::format("parameter '{}' is {}, expected a number", name, yaml::describe(value)),
          start, name.size());
    }
    return *number;
  }

  static std::optional<Number> to_number(const std::string& text) {
    if (const auto integer = yaml::to_integer(text);
        integer && std::abs(static_cast<double>(*integer)) <= kLargestInteger) {
      return Number{static_cast<double>(*integer), true};
    }
    if (const auto real = yaml::to_number(text)) return Number{*real, false};
    return std::nullopt;
  }

  Number call(const std::string& name, size_t start) {
    std::vector<Number> arguments;
    if (!accept(')')) {
      do {
        arguments.push_back(sum());
      } while (accept(','));
      if (!accept(')')) fail("expected ',' or ')'");
    }
    const bool two = name == "min" || name == "max";
    if (!two && name != "floor" && name != "ceil" && name != "round") {
      Error error(fmt::format("unknown function '{}'", name), context_.place(start, name.size()));
      throw error.note("the functions are min, max, floor, ceil and round");
    }
    if (arguments.size() != (two ? 2U : 1U)) {
      context_.fail(fmt::format("{} takes {}, got {}", name, two ? "2 numbers" : "1 number",
                                arguments.size()),
                    start, name.size());
    }
    const Number& a = arguments[0];
    if (name == "min") return a.value <= arguments[1].value ? a : arguments[1];
    if (name == "max") return a.value >= arguments[1].value ? a : arguments[1];
    if (name == "floor") return checked(std::floor(a.value), true);
    if (name == "ceil") return checked(std::ceil(a.value), true);
    return checked(std::round(a.value), true);
  }

  const Context& context_;
  const std::string& text_;
  size_t position_;
  int depth_ = 0;
};

/// What the "$" at `position` stands for; `end` is the place after it.
yaml::Value read_dollar(const Context& context, size_t position, size_t& end) {
  const std::string& text = context.value.scalar;
  yaml::Value result;
  result.kind = yaml::Kind::scalar;
  result.where = context.value.where;
  const char next = position + 1 < text.size() ? text[position + 1] : '\0';
  if (next == '$') {
    end = position + 2;
    result.scalar.push_back(next);
    result.quoted = true;
    return result;
  }
  if (next == '(') {
    result.scalar = Evaluator(context, position + 2).run(end).text();
    return result;
  }
  end = position + 1;
  while (end < text.size() && is_name_character(text[end])) ++end;
  if (end == position + 1) {
    context.fail("expected a name or '(' after '$' ('$$' is a dollar)", position, 1);
  }
  return context.lookup(text.substr(position + 1, end - position - 1), position + 1);
}

yaml::Value substitute_scalar(const Context& context) {
  const std::string& text = context.value.scalar;
  size_t dollar = text.find('$');
  size_t end = 0;
  if (dollar == 0) {
    yaml::Value whole = read_dollar(context, 0, end);
    if (end == text.size()) return whole;
  }
  yaml::Value result = context.value;
  result.scalar.clear();
  size_t copied = 0;
  while (dollar != std::string::npos) {
    const yaml::Value piece = read_dollar(context, dollar, end);
    if (!piece.is_scalar()) {
      context.fail(fmt::format("{} cannot be pasted into a text", yaml::describe(piece)), dollar,
                   end - dollar);
    }
    result.scalar += text.substr(copied, dollar - copied) + piece.scalar;
    copied = end;
    dollar = text.find('$', copied);
  }
  result.scalar += text.substr(copied);
  if (result.scalar.size() > kMaxText) {
    throw Error(fmt::format("text of more than {} bytes", kMaxText), context.value.where);
  }
  return result;
}

/// Substitutes in place; `values` counts what parameters brought in.
void substitute_within(yaml::Value& value, const Bindings& bindings, std::set<std::string>* used,
                       size_t& values) {
  if (value.is_scalar()) {
    const Location where = value.where;
    if (value.scalar.find('$') == std::string::npos) return;
    yaml::Origin origin{value.scalar, where, value.origin ? value.origin->role : "", {}};
    value = substitute_scalar({value, bindings, used, origin});
    value.origin = std::make_shared<const yaml::Origin>(std::move(origin));
    values += value.is_scalar() ? 0 : yaml::count_values(value);
    if (values > kMaxValues) {
      throw Error(fmt::format("more than {} values once parameters are put in", kMaxValues), where);
    }
    return;
  }
  for (yaml::Value& item : value.items) substitute_within(item, bindings, used, values);
  for (yaml::Entry& entry : value.entries) {
    substitute_within(entry.value, bindings, used, values);
  }
}

}  // namespace

yaml::Value with_role(yaml::Value value, std::string role) {
  yaml::Origin origin = *origin_of(value);
  origin.role = std::move(role);
  value.origin = std::make_shared<const yaml::Origin>(std::move(origin));
  return value;
}

yaml::Value substitute(const yaml::Value& value, const Bindings& bindings,
                       std::set<std::string>* used) {
  yaml::Value result = value;
  size_t values = 0;
  substitute_within(result, bindings, used, values);
  return result;
}

}  // namespace expgraph
