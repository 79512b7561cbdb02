// brief: numbers in a text -> the same with four significant digits.
#include "core/support/brief.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

namespace expgraph {
namespace {

bool is_word(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return std::isalnum(byte) != 0 || c == '_' || c == '.' || byte >= 0x80;
}

/// Of a word; with the sign of its exponent ("5e-05").
size_t length_of(std::string_view text) {
  size_t length = 0;
  while (length < text.size()) {
    const char c = text[length];
    const bool exponent_sign = (c == '-' || c == '+') && length > 1 &&
                               (text[length - 1] == 'e' || text[length - 1] == 'E') &&
                               std::isdigit(static_cast<unsigned char>(text[0])) != 0;
    if (!is_word(c) && !exponent_sign) break;
    ++length;
  }
  return length;
}

std::string brief(std::string_view word) {
  double value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  const bool is_real = error == std::errc() && end == word.data() + word.size() &&
                       word.find_first_of(".eE") != std::string_view::npos;
  const std::string shorter = is_real ? fmt::format("{:.4g}", value) : "";
  return is_real && shorter.size() < word.size() ? shorter : std::string(word);
}

}  // namespace

std::string brief_numbers(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t length = length_of(text);
    out += length == 0 ? std::string(1, text.front()) : brief(text.substr(0, length));
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

}  // namespace expgraph
