// dump_test: every stage of the walk of tests/golden/passes/*.yaml, as --dump would write it,
// equals the text beside it. EXPGRAPH_GOLDEN_REWRITE=1 writes what came out.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/compile.h"

using namespace expgraph;
namespace fs = std::filesystem;

namespace {

const fs::path kFolder = fs::path(EXPGRAPH_SOURCE_DIR) / "tests/golden/passes";

std::string read(const fs::path& file) {
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

std::string dump_of(const fs::path& file) {
  std::string text;
  CompilePipelineOptions options{.backend = "onednn"};
  options.build.dataset = [](const std::string& name, const std::string& split, const Location&,
                             const Attributes&) {
    return DatasetInfo{
        .name = name, .split = split, .count = 4, .height = 8, .width = 8, .classes = 10};
  };
  options.dump = [&](const Stage& stage) {
    text += fmt::format("== {}\n{}", stage.name, stage.text);
  };
  const CompiledPipeline compiled =
      compile_pipeline(expand_file(file.string(), {}, op_names()), options);
  const MemoryPlan& plan = compiled.train.step.plan;
  text += fmt::format("== plan\narena {} state {} bindings {} bytes, {} copies\n", plan.arena_bytes,
                      plan.state_bytes, plan.binding_bytes, plan.copies.size());
  return text;
}

}  // namespace

TEST_CASE("golden: every stage of a pipeline's walk") {
  int cases = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(kFolder)) {
    if (entry.path().extension() != ".yaml") continue;
    CAPTURE(entry.path());
    ++cases;
    const fs::path golden = fs::path(entry.path()).replace_extension(".dump");
    const std::string text = dump_of(entry.path());
    if (std::getenv("EXPGRAPH_GOLDEN_REWRITE") != nullptr) std::ofstream(golden) << text;
    CHECK(text == read(golden));
  }
  CHECK(cases >= 1);
}
