// cli_test: what golden cases cannot show of the command line: streams that fail, a program without
// backends, drawings as files.
#include "cli/cli.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

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
  const std::string pipeline = std::string(EXPGRAPH_SOURCE_DIR) + "/graphs/pipelines/davidnet.yaml";
  const Outcome outcome = run({"draw", pipeline, "-o", file.string()});
  std::ifstream stream(file);
  const std::string svg{std::istreambuf_iterator<char>(stream), {}};
  std::filesystem::remove(file);
  CHECK(outcome.code == 0);
  CHECK(outcome.out + outcome.err == "");
  CHECK(svg.starts_with("<svg "));
  CHECK(svg.ends_with("</svg>\n"));
}
