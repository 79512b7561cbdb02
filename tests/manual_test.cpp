// manual_test: docs/manual.md and README.md are true: their files are what they say they are, and
// their commands print what they show.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "cli/cli.h"

namespace fs = std::filesystem;

namespace {

/// A fenced block: "yaml" or "console", and its lines.
struct Block {
  std::string kind, text;
};

std::vector<Block> blocks_of(const fs::path& page) {
  std::vector<Block> blocks;
  std::ifstream stream(page);
  bool inside = false;
  for (std::string line; std::getline(stream, line);) {
    if (line.starts_with("```")) {
      inside = !inside;
      if (inside) blocks.push_back({line.substr(3), ""});
    } else if (inside) {
      blocks.back().text += line + "\n";
    }
  }
  return blocks;
}

std::string text_of(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream(file, std::ios::binary).rdbuf();
  return text.str();
}

/// Both streams, one after the other, as the manual shows them.
std::string run(const std::string& command) {
  std::istringstream stream(command);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  std::ostringstream out, err;
  expgraph::Streams streams{.out = out, .err = err};
  expgraph::run_cli(words, streams);
  return out.str() + err.str();
}

}  // namespace

TEST_CASE("files and console output of the manual are true") {
  const std::string prompt = "$ expgraph ";
  const fs::path folder = fs::temp_directory_path() / fmt::format("expgraph-manual-{}", getpid());
  fs::create_directories(folder);
  const fs::path before = fs::current_path();
  fs::current_path(folder);
  int files = 0, commands = 0;
  for (const Block& block : blocks_of(fs::path(EXPGRAPH_SOURCE_DIR) / "docs/manual.md")) {
    const std::string first = block.text.substr(0, block.text.find('\n'));
    const std::string rest = block.text.substr(first.size() + 1);
    if (block.kind == "yaml") {
      REQUIRE(first.starts_with("# "));
      std::ofstream(first.substr(2)) << rest;
      ++files;
    } else if (block.kind == "console") {
      REQUIRE(first.starts_with(prompt));
      CHECK(run(first.substr(prompt.size())) == rest);
      ++commands;
    }
  }
  fs::current_path(before);
  fs::remove_all(folder);
  CHECK(files >= 3);
  CHECK(commands >= 5);
}

TEST_CASE("console output and picture of the README are true") {
  const std::string prompt = "$ ./expgraph ";
  const fs::path root = EXPGRAPH_SOURCE_DIR;
  const fs::path before = fs::current_path();
  fs::current_path(root);
  int commands = 0;
  for (const Block& block : blocks_of("README.md")) {
    if (block.kind != "console") continue;
    const std::string first = block.text.substr(0, block.text.find('\n'));
    REQUIRE(first.starts_with(prompt));
    CHECK(run(first.substr(prompt.size())) == block.text.substr(first.size() + 1));
    ++commands;
  }
  CHECK(commands >= 2);

  const fs::path drawn = fs::temp_directory_path() / fmt::format("readme-{}.svg", getpid());
  const std::string command =
      "diff experiments/ablations.yaml:scales :residuals --profile cifar10 -o ";
  CHECK(text_of("README.md").find(command) != std::string::npos);
  run(command + drawn.string());
  CHECK(text_of(drawn) == text_of("docs/images/residuals.svg"));
  fs::remove(drawn);
  fs::current_path(before);
}
