// diagnostics: an Error -> the text that a user reads.
#include "core/support/diagnostics.h"

#include <fmt/format.h>

#include <algorithm>

namespace expgraph {
namespace {

constexpr size_t kMaxLine = 160;

std::string_view line_of(const SourceText& source, int line) {
  std::string_view rest = source.text;
  for (int i = 1; i < line; ++i) {
    const size_t end = rest.find('\n');
    if (end == std::string_view::npos) return {};
    rest.remove_prefix(end + 1);
  }
  std::string_view found = rest.substr(0, rest.find('\n'));
  if (!found.empty() && found.back() == '\r') found.remove_suffix(1);
  return found;
}

/// Escapes control bytes, so that a file cannot drive the terminal.
std::string printable(std::string_view text, bool keep_newlines = false) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\t') {
      out += ' ';
    } else if ((byte < 0x20 && !(keep_newlines && c == '\n')) || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

bool starts_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

/// Number of code points, which is the number of columns for the text we expect.
size_t columns(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), starts_character));
}

void append_excerpt(std::string& out, const Location& where) {
  const std::string_view line = line_of(*where.source, where.line);
  if (line.empty()) return;
  const auto start = std::min(static_cast<size_t>(std::max(where.column - 1, 0)), line.size());
  // A long line is shown as a window around the place.
  size_t from = start > kMaxLine / 2 && line.size() > kMaxLine ? start - kMaxLine / 2 : 0;
  while (from > 0 && !starts_character(line[from])) --from;
  const std::string_view window = line.substr(from, kMaxLine);
  const size_t offset = std::min(start - from, window.size());
  const auto wanted = static_cast<size_t>(std::max(where.length, 1));
  const std::string_view marked = window.substr(offset, wanted);
  const std::string before = printable(window.substr(0, offset));
  const size_t width = std::max<size_t>(columns(printable(marked)), 1);
  out += fmt::format("    {}\n", printable(window));
  out += fmt::format("    {}^{}\n", std::string(columns(before), ' '), std::string(width - 1, '~'));
}

}  // namespace

std::string Location::str() const {
  if (!*this) return {};
  return fmt::format("{}:{}:{}", source->name, line, column);
}

Error& Error::note(std::string text, Location where) {
  notes_.push_back({std::move(text), std::move(where)});
  return *this;
}

Error& Error::at(const Location& where) {
  if (!where_) where_ = where;
  return *this;
}

std::string Error::render() const {
  std::string out;
  if (where_) out += printable(where_.str()) + ": ";
  out += fmt::format("error: {}\n", printable(what(), true));
  if (where_) append_excerpt(out, where_);
  for (const Note& note : notes_) {
    if (note.where) out += printable(note.where.str()) + ": ";
    out += fmt::format("note: {}\n", printable(note.text, true));
  }
  return out;
}

void check_failed(const char* condition, const char* file, int line) {
  throw std::logic_error(
      fmt::format("internal error: {}:{}: check failed: {}", file, line, condition));
}

}  // namespace expgraph
