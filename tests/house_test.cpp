// House rules over the sources: which room includes which, sizes, first lines, a case for each
// error message, no host names of package registries.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace fs = std::filesystem;

namespace {

constexpr size_t kMostLines = 600;
constexpr size_t kMostColumns = 100;

struct SourceFile {
  std::string path;  ///< from the root
  std::string text;
  std::vector<std::string> lines;
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// Every file of the project, without what is built, fetched or made by a run.
const std::vector<SourceFile>& project_files() {
  static const std::vector<SourceFile> files = [] {
    const fs::path root = EXPGRAPH_SOURCE_DIR;
    std::vector<SourceFile> found;
    for (fs::recursive_directory_iterator at(root), end; at != end; ++at) {
      const std::string path = at->path().lexically_relative(root).generic_string();
      for (const char* made : {"build", ".deps", ".git", "runs", ".cache"}) {
        if (path == made) at.disable_recursion_pending();
      }
      if (!at->is_regular_file() || path.starts_with(".git")) continue;
      std::ostringstream text;
      text << std::ifstream(at->path(), std::ios::binary).rdbuf();
      found.push_back({path, text.str(), lines_of(text.str())});
    }
    std::sort(found.begin(), found.end(),
              [](const auto& a, const auto& b) { return a.path < b.path; });
    return found;
  }();
  return files;
}

bool is_cpp(const SourceFile& file) {
  const fs::path ending = fs::path(file.path).extension();
  return ending == ".h" || ending == ".cpp" || ending == ".cu" || ending == ".cuh";
}

/// What each room may include; a file belongs to the longest that fits.
const std::map<std::string, std::vector<std::string>> kArrows{
    {"core/support/", {"core/support/"}},
    {"core/spec/", {"core/support/", "core/spec/"}},
    {"core/ir/", {"core/support/", "core/ir/"}},
    {"core/ops/", {"core/support/", "core/ir/", "core/ops/"}},
    {"core/passes/", {"core/support/", "core/ir/", "core/ops/", "core/passes/"}},
    {"core/", {"core/"}},
    {"backends/reference/", {"core/", "backends/reference/"}},
    {"backends/libtorch/", {"core/", "backends/libtorch/"}},
    {"backends/onednn/", {"core/", "backends/onednn/"}},
    {"viz/", {"core/", "viz/"}},
    {"cli/", {"core/", "viz/", "cli/"}},
    {"tests/", {"core/", "backends/", "viz/", "cli/", "tests/"}},
};

/// Includes of a file that its room may not have: "path includes what".
std::vector<std::string> wrong_includes(const SourceFile& file) {
  const std::vector<std::string>* allowed = nullptr;
  for (const auto& [room, rooms] : kArrows) {
    // In the order of the map a room comes before the rooms within it.
    if (file.path.starts_with(room)) allowed = &rooms;
  }
  if (allowed == nullptr) return {file.path + " lies in no room"};
  std::vector<std::string> wrong;
  for (const std::string& line : file.lines) {
    if (line.starts_with("#include <yaml-cpp") && file.path != "core/spec/yaml.cpp") {
      wrong.push_back(file.path + " includes yaml-cpp");
    }
    if (!line.starts_with("#include \"")) continue;
    const std::string included = line.substr(10, line.find('"', 10) - 10);
    if (std::none_of(allowed->begin(), allowed->end(),
                     [&](const std::string& room) { return included.starts_with(room); })) {
      wrong.push_back(fmt::format("{} includes {}", file.path, included));
    }
  }
  return wrong;
}

size_t columns_of(const std::string& line) {
  return static_cast<size_t>(
      std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

size_t skip_blanks(const std::string& text, size_t at) {
  return std::min(text.find_first_not_of(" \n", at), text.size());
}

/// Adjacent string literals at `at`, joined and unescaped; "" when there is none. `at` moves
/// behind them.
std::string take_literal(const std::string& text, size_t& at) {
  std::string joined;
  for (at = skip_blanks(text, at); at < text.size() && text[at] == '"';
       at = skip_blanks(text, at + 1)) {
    for (++at; at < text.size() && text[at] != '"'; ++at) {
      if (text[at] == '\\') ++at;
      joined += text[at];
    }
  }
  return joined;
}

/// Format strings of the errors that a source file throws: the literal in `Error(…`,
/// `Diverged(…`, `Error name(…` or `fail…(…`, in the first place or after one plain argument, with
/// or without fmt::format.
std::vector<std::string> messages_of(const std::string& text) {
  constexpr const char* format = "fmt::format(";
  const auto literal_in = [&](size_t at) {
    at = skip_blanks(text, at);
    if (text.compare(at, std::string(format).size(), format) == 0) at += 12;
    return take_literal(text, at);
  };
  std::vector<std::string> messages;
  for (size_t open = text.find('('); open != std::string::npos; open = text.find('(', open + 1)) {
    size_t start = open;
    const auto part_of_name = [](char c) { return std::isalnum(c) != 0 || c == '_'; };
    while (start > 0 && part_of_name(text[start - 1])) --start;
    const std::string name = text.substr(start, open - start);
    const bool declared =
        name == "error" && start >= 6 && text.compare(start - 6, 6, "Error ") == 0;
    if (name != "Error" && name != "Diverged" && !declared && !name.starts_with("fail")) continue;
    std::string message = literal_in(open + 1);
    const size_t comma = text.find_first_of(",()\";", open + 1);
    if (message.empty() && comma != std::string::npos && text[comma] == ',') {
      message = literal_in(comma + 1);
    }
    if (!message.empty()) messages.push_back(message);
  }
  return messages;
}

/// The fixed parts of a format string, in order.
std::vector<std::string> fixed_parts(const std::string& format) {
  std::vector<std::string> parts(1);
  for (size_t i = 0; i < format.size(); ++i) {
    const char c = format[i];
    if ((c == '{' || c == '}') && i + 1 < format.size() && format[i + 1] == c) {
      parts.back() += c;
      ++i;
    } else if (c == '{') {
      i = std::min(format.find('}', i), format.size());
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

bool holds_in_order(const std::string& line, const std::vector<std::string>& parts) {
  size_t at = 0;
  for (const std::string& part : parts) {
    at = line.find(part, at);
    if (at == std::string::npos) return false;
    at += part.size();
  }
  return true;
}

/// What tests expect: lines of golden cases and corpora, string literals of test programs.
std::vector<std::string> expected_lines() {
  std::vector<std::string> lines;
  for (const SourceFile& file : project_files()) {
    if (!file.path.starts_with("tests/")) continue;
    if (!is_cpp(file)) {
      lines.insert(lines.end(), file.lines.begin(), file.lines.end());
      continue;
    }
    for (size_t at = 0; (at = file.text.find('"', at)) != std::string::npos;) {
      lines.push_back(take_literal(file.text, at));
    }
  }
  return lines;
}

std::string listed(const std::vector<std::string>& found) {
  return fmt::format("\n{}", fmt::join(found, "\n"));
}

}  // namespace

TEST_CASE("rooms include only what their arrows allow") {
  std::vector<std::string> wrong;
  size_t seen = 0;
  for (const SourceFile& file : project_files()) {
    if (!is_cpp(file)) continue;
    ++seen;
    for (std::string& what : wrong_includes(file)) wrong.push_back(std::move(what));
  }
  CHECK(seen >= 100);
  CHECK_MESSAGE(wrong.empty(), listed(wrong));
}

TEST_CASE("a wrong include is found") {
  const auto wrong = [](std::string path, std::string include) {
    return wrong_includes({std::move(path), "", {"#include " + std::move(include)}});
  };
  CHECK(wrong("core/spec/edit.cpp", "\"core/ir/graph.h\"") ==
        std::vector<std::string>{"core/spec/edit.cpp includes core/ir/graph.h"});
  CHECK(wrong("core/train/runner.cpp", "\"viz/dot.h\"").size() == 1);
  CHECK(wrong("core/train/runner.cpp", "\"core/spec/edit.h\"").empty());
  CHECK(wrong("backends/onednn/conv.cpp", "\"backends/reference/kernels.h\"").size() == 1);
  CHECK(wrong("cli/main.cpp", "\"tests/support/case.h\"").size() == 1);
  CHECK(wrong("core/spec/expand.cpp", "<yaml-cpp/yaml.h>").size() == 1);
  CHECK(wrong("elsewhere/main.cpp", "<vector>").size() == 1);
}

TEST_CASE("files are short, lines fit, and the first line says what a file does") {
  std::vector<std::string> wrong;
  for (const SourceFile& file : project_files()) {
    const bool script = file.lines.size() > 0 && file.lines[0].starts_with("#!");
    if (!is_cpp(file) && !script && !file.path.ends_with(".py") && !file.path.ends_with(".sh")) {
      continue;
    }
    if (file.lines.size() > kMostLines) {
      wrong.push_back(
          fmt::format("{} has {} lines, at most {}", file.path, file.lines.size(), kMostLines));
    }
    // Tests quote texts as they are.
    for (size_t i = 0; i < file.lines.size() && !file.path.starts_with("tests/"); ++i) {
      if (const size_t columns = columns_of(file.lines[i]); columns > kMostColumns) {
        wrong.push_back(fmt::format("{}:{} has {} columns, at most {}", file.path, i + 1, columns,
                                    kMostColumns));
      }
    }
    if (is_cpp(file) && !file.text.starts_with("// ")) {
      wrong.push_back(file.path + " does not start with a comment");
    }
  }
  CHECK_MESSAGE(wrong.empty(), listed(wrong));
}

/// Checks of ours that throw std::logic_error: no user can cause them.
bool is_internal(const SourceFile& file) {
  return file.path == "core/ir/verify.cpp" || file.path == "core/passes/verify_plan.cpp";
}

/// Errors that no test can bring about: the machine's memory or disk would have to be at fault, or
/// the test not be run by root, who may read every file.
const std::vector<std::string> kBeyondTests{
    "file '{}' cannot be read",
    "a metric is NaN or Inf at epoch {}, step {} of {}",
    "NVIDIA's driver has no '{}': update it",
    "the GPU cannot be used, {}: EXPGRAPH_DEVICE=cpu runs on the CPU",
    "'{}' has run out of memory on {}: make the batch smaller",
    "a metric of the test is NaN or Inf after epoch {}",
};

TEST_CASE("every error message is quoted by a case") {
  const std::vector<std::string> expected = expected_lines();
  std::vector<std::string> unclaimed;
  size_t seen = 0;
  for (const SourceFile& file : project_files()) {
    if (!is_cpp(file) || file.path.starts_with("tests/") || is_internal(file)) continue;
    for (const std::string& message : messages_of(file.text)) {
      const std::vector<std::string> parts = fixed_parts(message);
      ++seen;
      if (std::count(kBeyondTests.begin(), kBeyondTests.end(), message) > 0) continue;
      if (std::none_of(expected.begin(), expected.end(),
                       [&](const std::string& line) { return holds_in_order(line, parts); })) {
        unclaimed.push_back(fmt::format("{}: {}", file.path, message));
      }
    }
  }
  CHECK(seen >= 200);
  CHECK_MESSAGE(unclaimed.empty(),
                fmt::format("{} of {}:{}", unclaimed.size(), seen, listed(unclaimed)));
}

TEST_CASE("messages are found in each form in which errors are thrown") {
  CHECK(messages_of(R"(throw Error(fmt::format("no '{}' "
                                              "here", x), where);)") ==
        std::vector<std::string>{"no '{}' here"});
  CHECK(messages_of(R"(Error error("gone", {}, ExitCode::environment);)") ==
        std::vector<std::string>{"gone"});
  CHECK(messages_of(R"(context.fail(fmt::format("x has {} channels", n));)") ==
        std::vector<std::string>{"x has {} channels"});
  CHECK(messages_of(R"(fail_at(node, "a \"b\"");)") == std::vector<std::string>{"a \"b\""});
  CHECK(messages_of("void fail(std::string message); throw Error(message);").empty());
  CHECK(holds_in_order("error: x has 3 channels, w expects 4",
                       fixed_parts("x has {} channels, w expects {:02d}")));
  CHECK_FALSE(holds_in_order("error: x has 3 rows", fixed_parts("x has {} channels")));
  CHECK(fixed_parts("cifar10/{{train}}/{}.") == std::vector<std::string>{"cifar10/{train}/", "."});
}

TEST_CASE("no file names the host of a package registry") {
  std::vector<std::string> wrong;
  const std::vector<std::string> hosts{
      std::string("pypi") + ".org",    std::string("pythonhosted") + ".org",
      std::string("deb.debian") + ".", std::string("download.pytorch") + ".",
      std::string("crates") + ".io",   std::string("npmjs") + "."};
  for (const SourceFile& file : project_files()) {
    for (const std::string& host : hosts) {
      if (file.text.find(host) != std::string::npos) {
        wrong.push_back(fmt::format("{} names {}", file.path, host));
      }
    }
  }
  CHECK_MESSAGE(wrong.empty(), listed(wrong));
}
