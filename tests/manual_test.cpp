// manual_test: docs/manual.md is true: its files are what it says they are, and its commands print
// what it shows.
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
