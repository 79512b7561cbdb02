// cuda_feed_test: batches that the LibTorch backend makes by one kernel have the bits of those that
// its operators make. On a GPU where there is one, else with the kernel emulated.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

#include "core/passes/passes.h"
#include "tests/support/attribute.h"
#include "tests/support/batch_bytes.h"
#include "tests/support/cuda_module.h"
#include "tests/support/feed_case.h"
#include "tests/support/guarded_run.h"
#include "tests/support/tiny_pipeline.h"

using namespace expgraph;
using namespace expgraph::test;
namespace fs = std::filesystem;

namespace {

/// What the emulation has counted so far, "kernels" that were made or "launches" of them; no fault
/// is seen yet.
int counted(const std::string& what) {
  const std::string text = load_backend("libtorch").describe();
  const size_t at = text.find(what + " ");
  REQUIRE_MESSAGE((at != std::string::npos && text.ends_with("fault ''")), text);
  return std::atoi(text.c_str() + at + what.size() + 1);
}

/// A pipeline of the tree on a few generated images, narrow and with small batches.
FlatSpec narrow_shapes(const fs::path& file) {
  Parameters parameters;
  for (const auto& [name, value] : {std::pair{"dataset", "shapes10"},
                                    {"train_images", "40"},
                                    {"test_images", "20"},
                                    {"width", "4"},
                                    {"batch", "16"},
                                    {"test_batch", "8"}}) {
    parameters.push_back(attribute(name, value));
  }
  return expand_file(file.string(), parameters, op_names());
}

}  // namespace

TEST_CASE("a batch made by one launch has the bits of one that operators make, in any order") {
  if (no_cuda_module()) return;
  Random random(5);
  const Backend& backend = load_backend("libtorch");
  for (int64_t k = 0; k < 60; ++k) {
    const FeedCase feed = random_feed(random, k % 9);
    INFO(feed.name);
    const Graph one = fuse(feed.graph, target("libtorch"));
    REQUIRE(one.nodes().size() == 1);
    const int kernels = kEmulated ? counted("kernels") : 0;
    const int launches = kEmulated ? counted("launches") : 0;
    const GuardedRun got = guarded_run(backend, one, guarded_plan(one), feed.inputs);
    const GuardedRun want = guarded_run(backend, feed.graph, guarded_plan(feed.graph), feed.inputs);
    for (const std::string& fault : got.faults) FAIL_CHECK(fault);
    for (const auto& [name, tensor] : want.results)
      CHECK_MESSAGE(tensor.bytes == got.results.at(name).bytes, name);
    if (!kEmulated) continue;
    CHECK(counted("kernels") == kernels + 1);
    CHECK(counted("launches") == launches + 1);
  }
}

TEST_CASE("raw samples on the device give the batches that prepared ones give, bit for bit") {
  if (no_cuda_module()) return;
  OpenDatasets datasets({.cache = (fs::temp_directory_path() / "expgraph_cuda_test").string()});
  std::vector<FlatSpec> specs{tiny_spec()};
  for (const auto& entry : fs::directory_iterator(EXPGRAPH_SOURCE_DIR "/graphs/pipelines"))
    specs.push_back(narrow_shapes(entry.path()));
  CHECK(specs.size() >= 4);
  for (const FlatSpec& spec : specs) {
    for (const char* side : {"train", "test"}) {
      const auto bytes = [&](bool fuse) {
        return batch_bytes(spec, {.backend = "libtorch", .fuse = fuse}, "libtorch", side, datasets);
      };
      CHECK_MESSAGE(bytes(true) == bytes(false), spec.name, " ", side);
    }
  }
}
