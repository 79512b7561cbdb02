// golden_test: every tests/golden/<stage>/*.case is one test: the command runs in process in a
// folder of its own, and stdout, stderr and exit code are compared exactly (golden/README.md).
// EXPGRAPH_GOLDEN_REWRITE=1 writes what came out back into the cases.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "cli/cli.h"

namespace fs = std::filesystem;

namespace {

constexpr int kLeastCases = 200;
constexpr int kLeastLocatedErrors = 100;
#ifdef __SANITIZE_ADDRESS__
constexpr double kErrorSeconds = 2;
#else
constexpr double kErrorSeconds = 0.1;  // CPU time: other processes of the machine do not count
#endif

const fs::path kSource = EXPGRAPH_SOURCE_DIR;
const fs::path kGolden = kSource / "tests/golden";

struct File {
  std::string name;
  std::string text;
  size_t times = 1;  ///< the text without its last newline, so often
};

struct Outcome {
  std::string out, err;
  int exit = 0;
  double cpu_seconds = 0;
};

struct Case {
  std::string proves;  ///< comment lines
  std::string command;
  std::vector<File> files;
  Outcome expected;
};

size_t number(std::string_view text, std::string_view line) {
  size_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop != text.data() + text.size()) {
    throw std::runtime_error(fmt::format("not a number in '{}'", line));
  }
  return value;
}

Case parse_case(const std::string& text) {
  Case out;
  std::string* section = nullptr;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    if (!line.starts_with("== ")) {
      if (section != nullptr) {
        *section += line + "\n";
      } else if (line.starts_with("# ")) {
        out.proves += line + "\n";
      } else {
        throw std::runtime_error(fmt::format("neither a comment nor a section: '{}'", line));
      }
      continue;
    }
    std::istringstream words(line.substr(3));
    std::string kind, name, times;
    words >> kind >> name >> times;
    if (kind == "command") {
      section = &out.command;
    } else if (kind == "file") {
      const bool repeated = times.starts_with('x');
      out.files.push_back({name, "", repeated ? number(times.substr(1), line) : 1});
      section = &out.files.back().text;
    } else if (kind == "stdout") {
      section = &out.expected.out;
    } else if (kind == "stderr") {
      section = &out.expected.err;
    } else if (kind == "exit") {
      out.expected.exit = static_cast<int>(number(name, line));
      section = nullptr;
    } else {
      throw std::runtime_error(fmt::format("unknown section '{}'", line));
    }
  }
  if (out.proves.empty() || out.command.empty()) {
    throw std::runtime_error("a case needs a comment line and '== command'");
  }
  return out;
}

std::string print_case(const Case& that) {
  std::string text = that.proves + "== command\n" + that.command;
  for (const File& file : that.files) {
    const std::string times = file.times > 1 ? fmt::format(" x{}", file.times) : "";
    text += fmt::format("== file {}{}\n{}", file.name, times, file.text);
  }
  const Outcome& expected = that.expected;
  if (!expected.out.empty()) text += "== stdout\n" + expected.out;
  if (!expected.err.empty()) text += "== stderr\n" + expected.err;
  return text + fmt::format("== exit {}\n", expected.exit);
}

/// Words of a command; 'single quotes' keep a word together.
std::vector<std::string> words_of(const std::string& command) {
  std::vector<std::string> words;
  bool quoted = false, inside = false;
  for (const char c : command) {
    if (c == '\'') {
      quoted = !quoted;
      if (quoted && !inside) words.emplace_back();
      inside = true;
    } else if (!quoted && (c == ' ' || c == '\n')) {
      inside = false;
    } else {
      if (!inside) words.emplace_back();
      inside = true;
      words.back() += c;
    }
  }
  return words;
}

/// A fresh folder as the working directory while it lives; `graphs` and `experiments` in it are
/// those of the repository.
class Workplace {
 public:
  Workplace() : before_(fs::current_path()) {
    std::string pattern = (fs::temp_directory_path() / "expgraph-golden-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
    folder_ = pattern;
    fs::current_path(folder_);
    setenv("XDG_CACHE_HOME", (folder_ / "cache").c_str(), 1);  // not this machine's calibration
    for (const char* name : {"graphs", "experiments"}) fs::create_symlink(kSource / name, name);
  }
  ~Workplace() {
    fs::current_path(before_);
    fs::remove_all(folder_);
  }
  Workplace(const Workplace&) = delete;
  Workplace& operator=(const Workplace&) = delete;

 private:
  fs::path before_, folder_;
};

void write(const File& file) {
  if (fs::path(file.name).has_parent_path()) {
    fs::create_directories(fs::path(file.name).parent_path());
  }
  std::ofstream stream(file.name, std::ios::binary);
  if (file.times == 1) {
    stream << file.text;
    return;
  }
  const std::string text = file.text.substr(0, file.text.size() - 1);
  for (size_t i = 0; i < file.times; ++i) stream << text;
}

double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return double(time.tv_sec) + 1e-9 * double(time.tv_nsec);
}

Outcome run(const Case& that) {
  const Workplace workplace;
  for (const File& file : that.files) write(file);
  std::ostringstream out, err;
  expgraph::Streams streams{.out = out, .err = err};
  const double start = cpu_seconds();
  Outcome outcome;
  outcome.exit = expgraph::run_cli(words_of(that.command), streams);
  outcome.cpu_seconds = cpu_seconds() - start;
  outcome.out = out.str();
  outcome.err = err.str();
  return outcome;
}

/// "" when the outcome is the expected one, else what differs.
std::string differences(const Outcome& expected, const Outcome& got) {
  std::string text;
  const auto compare = [&](std::string_view what, const std::string& a, const std::string& b) {
    if (a != b) text += fmt::format("{} expected:\n{}\n{} got:\n{}\n", what, a, what, b);
  };
  compare("stdout", expected.out, got.out);
  compare("stderr", expected.err, got.err);
  compare("exit", std::to_string(expected.exit), std::to_string(got.exit));
  return text;
}

std::string read(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// Ends with the last newline even when a command's output does not.
std::string whole_lines(std::string text) {
  if (!text.empty() && text.back() != '\n') text += "\n";
  return text;
}

void run_case_file() {
  const fs::path path = kGolden / doctest::getContextOptions()->currentTest->m_name;
  Case that = parse_case(read(path));
  Outcome got = run(that);
  got.out = whole_lines(got.out);
  got.err = whole_lines(got.err);
  if (std::getenv("EXPGRAPH_GOLDEN_REWRITE") != nullptr) {
    that.expected = got;
    std::ofstream(path, std::ios::binary) << print_case(that);
  }
  CHECK_MESSAGE(differences(that.expected, got).empty(), differences(that.expected, got));
  if (got.exit != 2 && got.exit != 3) return;
  // A busy machine makes a process slower even by its own clock: the best of a few counts.
  double seconds = got.cpu_seconds;
  for (int k = 0; k < 4 && seconds >= kErrorSeconds; ++k) {
    seconds = std::min(seconds, run(that).cpu_seconds);
  }
  CHECK(seconds < kErrorSeconds);
}

/// "<stage>/<name>.case" of every case. The names live as long as the program: doctest keeps
/// pointers to them.
const std::vector<std::string>& case_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> found;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(kGolden)) {
      if (entry.path().extension() == ".case") {
        found.push_back(fs::relative(entry.path(), kGolden).string());
      }
    }
    std::sort(found.begin(), found.end());
    return found;
  }();
  return names;
}

[[maybe_unused]] const bool registered = [] {
  for (const std::string& name : case_names()) {
    const doctest::detail::TestCase blank(run_case_file, __FILE__, __LINE__,
                                          doctest_detail_test_suite_ns::getCurrentTestSuite());
    doctest::detail::regTest(doctest::detail::TestCase(blank) * name.c_str());
  }
  return true;
}();

const std::string kExample =
    "# A command that is not there.\n"
    "== command\nchek 'a b' c\n"
    "== stderr\nerror: unknown command 'chek'\nnote: did you mean 'check'?\n"
    "== exit 2\n";

}  // namespace

TEST_CASE("there are as many cases and errors with line and column as there should be") {
  const std::regex located("^[^\n]+:[0-9]+:[0-9]+: error: ");
  int errors = 0;
  for (const std::string& name : case_names()) {
    const Case that = parse_case(read(kGolden / name));
    if (that.expected.exit == 3 && std::regex_search(that.expected.err, located)) ++errors;
  }
  CHECK(int(case_names().size()) >= kLeastCases);
  CHECK(errors >= kLeastLocatedErrors);
}

TEST_CASE("the harness finds a wrong character in stdout, stderr and a wrong exit code") {
  const Case that = parse_case(kExample);
  const Outcome got = run(that);
  CHECK(differences(that.expected, got) == "");
  for (const auto& plant : {+[](Outcome& o) { o.out += "x"; }, +[](Outcome& o) { o.err[7] = 'U'; },
                            +[](Outcome& o) { o.exit = 3; }}) {
    Outcome wrong = that.expected;
    plant(wrong);
    CHECK(differences(wrong, got) != "");
  }
}

TEST_CASE("a case prints as it was read") { CHECK(print_case(parse_case(kExample)) == kExample); }

TEST_CASE("words of a command are split at blanks outside single quotes") {
  CHECK(words_of("draw 'a b' --set 'x=[1, 2]'\n") ==
        std::vector<std::string>{"draw", "a b", "--set", "x=[1, 2]"});
}
