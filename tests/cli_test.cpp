// cli_test: what golden cases cannot show of the command line: streams that fail, a program without
// backends, drawings as files.
#include "cli/cli.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/support/temporary_folder.h"

namespace {

struct Outcome {
  int code = 0;
  std::string out, err;
};

Outcome run(const std::vector<std::string>& words, bool broken = false) {
  std::ostringstream out, err;
  if (broken) out.setstate(std::ios::badbit);
  expgraph::Streams streams{.out = out, .err = err};
  const int code = expgraph::run_cli(words, streams);
  return {code, out.str(), err.str()};
}

std::string read(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

const std::string kPipeline = std::string(EXPGRAPH_SOURCE_DIR) + "/graphs/pipelines/davidnet.yaml";

}  // namespace

TEST_CASE("a result that cannot be written is an error of the environment") {
  const Outcome outcome = run({"ops"}, true);
  CHECK(outcome.code == 5);
  CHECK(outcome.err == "error: cannot write to standard output\n");
}

TEST_CASE("a program without backends says so") {
  const std::filesystem::path empty =
      std::filesystem::temp_directory_path() / "expgraph-no-modules";
  std::filesystem::create_directories(empty);
  setenv("EXPGRAPH_BACKENDS", empty.c_str(), 1);
  const Outcome outcome = run({"backends"});
  unsetenv("EXPGRAPH_BACKENDS");
  std::filesystem::remove(empty);
  CHECK(outcome.code == 5);
  CHECK(outcome.err == "error: there is no backend beside the program\n");
}

TEST_CASE("no command at all is a usage error and lists the commands on stderr") {
  const Outcome outcome = run({});
  CHECK(outcome.code == 2);
  CHECK(outcome.out.empty());
  CHECK(outcome.err.find("\n  draw ") != std::string::npos);
}

TEST_CASE("draw writes the drawing into the file and nothing to the streams") {
  const std::filesystem::path file = std::filesystem::temp_directory_path() / "expgraph-cli.svg";
  const Outcome outcome = run({"draw", kPipeline, "-o", file.string()});
  const std::string svg = read(file);
  std::filesystem::remove(file);
  CHECK(outcome.code == 0);
  CHECK(outcome.out + outcome.err == "");
  CHECK(svg.starts_with("<svg "));
  CHECK(svg.ends_with("</svg>\n"));
}

TEST_CASE("show --dump writes each stage as text, and as DOT unless it changed nothing") {
  const expgraph::TemporaryFolder folder;
  CHECK(run({"show", kPipeline, "--dump", folder.path.string()}).code == 0);
  int texts = 0, unchanged = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path)) {
    if (entry.path().extension() != ".txt") continue;
    ++texts;
    const bool same = read(entry.path()) == "(unchanged)\n";
    unchanged += same ? 1 : 0;
    std::filesystem::path dot = entry.path();
    dot.replace_extension(".dot");
    CHECK(std::filesystem::exists(dot) != same);
    if (!same) CHECK(read(dot).starts_with("digraph {\n"));
  }
  CHECK(texts >= 15);
  CHECK(unchanged >= 1);
  CHECK(unchanged < texts);
}

TEST_CASE("diff -o draws what changed") {
  const expgraph::TemporaryFolder folder;
  const std::string file = (folder.path / "diff.svg").string();
  const std::string study = std::string(EXPGRAPH_SOURCE_DIR) + "/experiments/ablations.yaml";
  CHECK(run({"diff", study + ":stem", ":batch_size", "-o", file}).code == 0);
  const std::string svg = read(file);
  CHECK(svg.find("E0: bare stem → batch size x 4") != std::string::npos);
  CHECK(svg.find("~ batch") != std::string::npos);
}

TEST_CASE("report writes the page and plots into the store; elsewhere the page links back to it") {
  const expgraph::TemporaryFolder folder;
  const std::filesystem::path study = folder.path / "runs/s";
  std::filesystem::create_directories(study);
  std::ofstream(study / "study.json") << R"({"study": "s", "note": "", "profile": "",
    "backend": "onednn", "command": "expgraph run s.yaml", "variants": [{"name": "v",
    "title": "the variant", "note": "", "base": "", "settings": {},
    "runs": [{"seed": 0, "folder": "v/0-k", "error": ""}]}]})";
  const Outcome inside = run({"report", study.string()});
  CHECK(inside.code == 0);
  CHECK(inside.out == (study / "report.html").string() + "\n");
  CHECK(read(study / "report.html").find("href=\"./v/0-k/\"") != std::string::npos);
  CHECK(std::filesystem::is_directory(study / "plots"));
  const std::filesystem::path other = folder.path / "page.html";
  CHECK(run({"report", study.string(), "-o", other.string()}).code == 0);
  CHECK(read(other).find("href=\"./runs/s/v/0-k/\"") != std::string::npos);
  CHECK(read(other).find("the variant") != std::string::npos);
}
