// escape: untrusted text -> text that markup, DOT and XML take as plain characters.
#include "viz/escape.h"

#include <fmt/format.h>

#include <vector>

namespace expgraph {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

/// Bytes of the UTF-8 character at the front of `text`, 0 when it is none that XML may hold.
size_t character(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return first >= 0x20 && first != 0x7f ? 1 : 0;
  const size_t length = first >= 0xF5 ? 0 : first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || length == 0 || text.size() < length) return 0;
  unsigned code = first & (0xFFu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3F);
  }
  constexpr unsigned kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  const bool control = code < 0xA0 || code == 0xFFFE || code == 0xFFFF;
  return code < kLeast[length] || code > 0x10FFFF || surrogate || control ? 0 : length;
}

/// `entity` gives what stands for a character, "" where it stands for itself.
template <typename Entity>
std::string escape(std::string_view text, Entity entity) {
  std::string out;
  while (!text.empty()) {
    const size_t length = character(text);
    const std::string_view one = text.substr(0, length == 0 ? 1 : length);
    text.remove_prefix(one.size());
    if (length == 0) {
      out += one == "\t" ? " " : kReplacement;
    } else {
      const std::string_view escaped = entity(one.front());
      out += escaped.empty() ? one : escaped;
    }
  }
  return out;
}

}  // namespace

std::string escape_markup(std::string_view text) {
  return escape(text, [](char c) -> std::string_view {
    switch (c) {
      case '&':
        return "&amp;";
      case '<':
        return "&lt;";
      case '>':
        return "&gt;";
      case '"':
        return "&quot;";
      case '\'':
        return "&#39;";
      default:
        return "";
    }
  });
}

std::string escape_dot(std::string_view text) {
  return escape(text, [](char c) -> std::string_view {
    switch (c) {
      case '&':  // Graphviz reads entities in labels
        return "&amp;";
      case '"':
        return "\\\"";
      case '\\':
        return "\\\\";
      default:
        return "";
    }
  });
}

std::string dot_id(std::string_view path) {
  std::string out;
  for (const char c : path) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '/' || c == '_' || c == '.' || c == '-';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::string shorten(std::string_view text, size_t columns) {
  std::vector<size_t> starts;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) starts.push_back(i);
  }
  if (starts.size() <= columns) return std::string(text);
  const size_t head = columns / 2, tail = columns - head - 1;
  return fmt::format("{}…{}", text.substr(0, starts[head]),
                     text.substr(starts[starts.size() - tail]));
}

}  // namespace expgraph
