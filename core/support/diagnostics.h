// diagnostics: what a user is told when something is wrong, and where.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace expgraph {

/// A text that locations point into: a file, or the words of a command line.
struct SourceText {
  std::string name;  ///< as printed before ":line:column"
  std::string text;
};

/// A span of one line in a source. Line and column count from 1; line 0 means "nowhere".
struct Location {
  std::shared_ptr<const SourceText> source;
  int line = 0;
  int column = 0;
  int length = 1;

  explicit operator bool() const { return source != nullptr && line > 0; }
  /// "file.yaml:14:15", or "" for nowhere.
  std::string str() const;
};

/// Exit codes of the program.
enum class ExitCode : int {
  done = 0,
  run_failed = 1,
  usage = 2,
  invalid = 3,      ///< invalid YAML or graph
  expectation = 4,  ///< an expectation of a study was not met
  environment = 5,  ///< missing data, no device, no disk space
  interrupted = 130,
};

/// An error for the user: one message, where, and notes (nearest name, chain of blocks).
/// Thrown anywhere, caught once, in cli. `what()` is the message alone.
class Error : public std::runtime_error {
 public:
  Error(std::string message, Location where = {}, ExitCode code = ExitCode::invalid)
      : std::runtime_error(std::move(message)), where_(std::move(where)), code_(code) {}

  /// Adds a "note: ..." line; returns itself, so that `throw Error(...).note(...)` reads well.
  Error& note(std::string text, Location where = {});
  /// Sets the location if there is none yet.
  Error& at(const Location& where);

  const Location& where() const { return where_; }
  ExitCode code() const { return code_; }

  /// The whole text as printed: "file:1:2: error: message", source line, caret, notes.
  /// Control characters of untrusted text are shown escaped; long source lines are clipped.
  std::string render() const;

 private:
  struct Note {
    std::string text;
    Location where;
  };
  Location where_;
  ExitCode code_;
  std::vector<Note> notes_;
};

/// Throws std::logic_error: a mistake of ours, not of the user.
[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace expgraph

#define EXPGRAPH_CHECK(condition) \
  ((condition) ? void(0) : ::expgraph::check_failed(#condition, __FILE__, __LINE__))
