// yaml: yaml-cpp's events -> yaml::Value, with limits.
#include "core/spec/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <unordered_set>

namespace expgraph::yaml {
namespace {

constexpr int kMaxMarked = 200;

/// Number of bytes that the token at `text` marks on its line.
int token_length(std::string_view text) {
  text = text.substr(0, kMaxMarked);  // first: the rest of a line may be megabytes
  text = text.substr(0, text.find_first_of("\r\n"));
  if (text.empty()) return 1;
  const char first = text[0];
  if (first == '"' || first == '\'') {
    size_t end = 1;
    while (end < text.size() && text[end] != first) end += text[end] == '\\' ? 2 : 1;
    return static_cast<int>(std::min(end + 1, text.size()));
  }
  if (first == '[' || first == '{') {
    int depth = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '[' || text[i] == '{') ++depth;
      if ((text[i] == ']' || text[i] == '}') && --depth == 0) return static_cast<int>(i + 1);
    }
    return static_cast<int>(text.size());
  }
  return static_cast<int>(std::clamp<size_t>(text.find_first_of(" \t,:]}"), 1, text.size()));
}

/// Says it in the words of the language where yaml-cpp speaks of its own tokens.
std::string clearer(const std::string& message) {
  static const std::array<std::pair<std::string_view, std::string_view>, 12> table = {{
      {"end of map not found", "expected a key of this mapping (mind the indentation)"},
      {"end of sequence not found", "expected '- ' or the end of this list (mind the indentation)"},
      {"end of map flow not found", "expected ',' or '}'"},
      {"end of sequence flow not found", "expected ',' or ']'"},
      {"illegal map value", "unexpected ':' (a text that contains ': ' must be quoted)"},
      {"illegal map key", "unexpected '?'"},
      {"illegal block entry", "unexpected '- '"},
      {"illegal flow end", "unexpected closing bracket"},
      {"illegal EOF in scalar", "text without a closing quote"},
      {"unknown token", "unexpected character"},
      {"the referenced anchor is not defined", "alias without an anchor"},
      {"alias not found after *",
       "'*' begins an alias (a text that begins with it must be quoted)"},
  }};
  for (const auto& [theirs, ours] : table) {
    if (message.substr(0, theirs.size()) == theirs) return std::string(ours);
  }
  return message;
}

int height_of(const Value& value) {
  int height = 0;
  for (const Value& item : value.items) height = std::max(height, height_of(item));
  for (const Entry& entry : value.entries) height = std::max(height, height_of(entry.value));
  return height + 1;
}

[[noreturn]] void too_deep(const Limits& limits, const Location& where) {
  throw Error(fmt::format("nested deeper than {} levels", limits.depth), where);
}

class Builder : public YAML::EventHandler {
 public:
  Builder(std::shared_ptr<const SourceText> source, const Limits& limits)
      : source_(std::move(source)), limits_(limits) {
    root_.where = {source_, 1, 1, 1};
  }

  Value take() { return std::move(root_); }

  Location location(const YAML::Mark& mark) const {
    const std::string_view text = source_->text;
    if (mark.is_null()) return end_of_text();
    const auto start = std::min(static_cast<size_t>(std::max(mark.pos, 0)), text.size());
    return {source_, mark.line + 1, mark.column + 1, token_length(text.substr(start))};
  }

  /// The last character that is no blank.
  Location end_of_text() const {
    const std::string_view text = source_->text;
    const size_t last = text.find_last_not_of(" \t\r\n");
    if (last == std::string_view::npos) return {source_, 1, 1, 1};
    const size_t line_start = text.rfind('\n', last) + 1;  // npos + 1 is 0
    const auto line = std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(last), '\n');
    return {source_, static_cast<int>(line) + 1, static_cast<int>(last - line_start) + 1, 1};
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (seen_document_) throw Error("a file holds one document", location(mark));
    seen_document_ = true;
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Value value;
    value.where = location(mark);
    if (!wants_key() && !stack_.empty() && stack_.back().value.is_mapping()) {
      // The mark of an absent value is that of the next token.
      value.where = stack_.back().key_where;
    }
    add(std::move(value), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const Location where = location(mark);
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) throw Error("alias stands within its own anchor", where);
    count(count_values(found->second), where);
    if (static_cast<int>(stack_.size()) + height_of(found->second) > limits_.depth) {
      too_deep(limits_, where);
    }
    Value value = found->second;
    value.where = where;
    place(std::move(value));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    Value value;
    value.kind = Kind::scalar;
    value.where = location(mark);
    refuse_tag(tag, value.where);
    value.scalar = text;
    value.quoted = tag == "!";
    if (value.quoted) check_quotes(mark, value.where);
    if (!value.quoted && text.find('\n') == std::string::npos) {
      const size_t start = static_cast<size_t>(std::max(mark.pos, 0));
      if (source_->text.compare(start, text.size(), text) == 0 && !text.empty()) {
        value.where.length = static_cast<int>(std::min<size_t>(text.size(), kMaxMarked));
      }
    }
    add(std::move(value), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(Kind::sequence, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(Kind::mapping, mark, tag, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    Value value;
    YAML::anchor_t anchor = 0;
    bool has_key = false;
    std::string key;
    Location key_where;
    std::unordered_set<std::string> keys;
  };

  bool wants_key() const {
    return !stack_.empty() && stack_.back().value.is_mapping() && !stack_.back().has_key;
  }

  void count(size_t values, const Location& where) {
    values_ += values;
    if (values_ > limits_.values) {
      throw Error(fmt::format("more than {} values once aliases are expanded", limits_.values),
                  where);
    }
  }

  /// yaml-cpp lets a quoted text end with the file.
  void check_quotes(const YAML::Mark& mark, const Location& where) const {
    const std::string_view text = source_->text;
    const auto start = static_cast<size_t>(mark.pos);
    const char quote = start < text.size() ? text[start] : ' ';
    if (quote != '"' && quote != '\'') return;
    size_t end = start + 1;
    while (end < text.size() && text[end] != quote) {
      end += quote == '"' && text[end] == '\\' ? 2 : 1;
    }
    if (end >= text.size()) throw Error("text without a closing quote", where);
  }

  static void refuse_tag(const std::string& tag, const Location& where) {
    if (tag != "?" && tag != "!" && !tag.empty()) throw Error("the language has no tags", where);
  }

  /// yaml-cpp takes a bracket that is never closed for the start of a key.
  [[noreturn]] void refuse_key(const YAML::Mark& mark, const Location& where) const {
    const std::string_view text = source_->text;
    const auto start = static_cast<size_t>(mark.pos);
    const char bracket = start < text.size() ? text[start] : ' ';
    const char closing = bracket == '[' ? ']' : bracket == '{' ? '}' : ' ';
    const auto opened = std::count(text.begin() + mark.pos, text.end(), bracket);
    const auto closed = std::count(text.begin() + mark.pos, text.end(), closing);
    if (closing != ' ' && closed < opened) {
      throw Error(fmt::format("'{}' is never closed", bracket),
                  {source_, where.line, where.column});
    }
    throw Error("a key must be a word", where);
  }

  void open(Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    Frame frame;
    frame.value.kind = kind;
    frame.value.where = location(mark);
    refuse_tag(tag, frame.value.where);
    if (wants_key()) refuse_key(mark, frame.value.where);
    if (static_cast<int>(stack_.size()) >= limits_.depth) too_deep(limits_, frame.value.where);
    count(1, frame.value.where);
    frame.anchor = anchor;
    stack_.push_back(std::move(frame));
  }

  void close() {
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    if (frame.anchor != 0) anchors_[frame.anchor] = frame.value;
    place(std::move(frame.value));
  }

  void add(Value value, YAML::anchor_t anchor) {
    count(1, value.where);
    if (anchor != 0) anchors_[anchor] = value;
    place(std::move(value));
  }

  void place(Value value) {
    if (stack_.empty()) {
      root_ = std::move(value);
    } else if (stack_.back().value.is_sequence()) {
      stack_.back().value.items.push_back(std::move(value));
    } else if (wants_key()) {
      take_key(std::move(value));
    } else {
      Frame& frame = stack_.back();
      frame.has_key = false;
      frame.value.entries.push_back(
          {std::move(frame.key), std::move(frame.key_where), std::move(value)});
    }
  }

  void take_key(Value key) {
    Frame& frame = stack_.back();
    if (!key.is_scalar() || key.scalar.empty()) throw Error("a key must be a word", key.where);
    if (!key.quoted && key.scalar == "<<") {
      throw Error("merge key '<<': the language has none, use a block with parameters", key.where);
    }
    if (!frame.keys.insert(key.scalar).second) {
      Error error(fmt::format("key '{}' is given twice", key.scalar), key.where);
      for (const Entry& entry : frame.value.entries) {
        if (entry.key == key.scalar) error.note("first given here", entry.where);
      }
      throw error;
    }
    frame.has_key = true;
    frame.key = std::move(key.scalar);
    frame.key_where = std::move(key.where);
  }

  std::shared_ptr<const SourceText> source_;
  const Limits& limits_;
  std::vector<Frame> stack_;
  std::map<YAML::anchor_t, Value> anchors_;
  size_t values_ = 0;
  bool seen_document_ = false;
  Value root_;
};

/// Length of the UTF-8 character at `text`; 0 when it is not one.
size_t character_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const size_t length = byte(0) < 0x80             ? 1
                        : (byte(0) & 0xE0) == 0xC0 ? 2
                        : (byte(0) & 0xF0) == 0xE0 ? 3
                        : (byte(0) & 0xF8) == 0xF0 ? 4
                                                   : 0;
  if (length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  return length;
}

/// yaml-cpp guesses other encodings, lets control bytes pass, and takes a long run of opening
/// brackets for a key.
void check_bytes(const std::shared_ptr<const SourceText>& source, const Limits& limits) {
  const std::string_view text = source->text;
  int line = 1;
  size_t line_start = 0;
  int opened = 0;
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const size_t length = character_length(text.substr(i));
    const bool control = (byte < 0x20 && byte != '\n' && byte != '\r' && byte != '\t');
    const auto here = [&] {
      return Location{source, line, static_cast<int>(i - line_start) + 1, 1};
    };
    if (length == 0 || control || byte == 0x7f) {
      throw Error(fmt::format("byte 0x{:02x} is not text in UTF-8", byte), here());
    }
    if (byte == '\t' &&
        text.substr(line_start, i - line_start).find_first_not_of(' ') == std::string_view::npos) {
      throw Error("tab in the indentation, use spaces", here());
    }
    if (byte == '[' || byte == '{') {
      if (++opened > limits.depth) too_deep(limits, here());
    } else if (byte > ' ') {
      opened = 0;
    }
    i += length;
    if (byte == '\n') {
      ++line;
      line_start = i;
    }
  }
}

}  // namespace

Value parse(std::shared_ptr<const SourceText> source, const Limits& limits, size_t start) {
  if (source->text.size() > limits.bytes) {
    throw Error(
        fmt::format("text has {} bytes, the limit is {}", source->text.size(), limits.bytes),
        {source, 1, 1, 1});
  }
  check_bytes(source, limits);
  Builder builder(source, limits);
  try {
    // Blanks in place of what is skipped keep the marks of yaml-cpp true.
    std::istringstream stream(std::string(start, ' ') + source->text.substr(start));
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    throw Error(clearer(error.msg), builder.location(error.mark));
  }
  return builder.take();
}

Value parse_file(const std::string& path, const Location& asked_at, const Limits& limits) {
  const ExitCode code = asked_at ? ExitCode::invalid : ExitCode::usage;
  std::error_code failed;
  const auto status = std::filesystem::status(path, failed);
  if (!std::filesystem::exists(status)) {
    throw Error(fmt::format("file '{}' does not exist", path), asked_at, code);
  }
  if (!std::filesystem::is_regular_file(status)) {
    throw Error(fmt::format("'{}' is not a file", path), asked_at, code);
  }
  const auto bytes = std::filesystem::file_size(path, failed);
  if (!failed && bytes > limits.bytes) {
    throw Error(fmt::format("file '{}' has {} bytes, the limit is {}", path, bytes, limits.bytes),
                asked_at, code);
  }
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) throw Error(fmt::format("file '{}' cannot be read", path), asked_at, code);
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (text.starts_with(byte_order_mark)) text.erase(0, byte_order_mark.size());
  return parse(std::make_shared<SourceText>(SourceText{path, std::move(text)}), limits);
}

}  // namespace expgraph::yaml
