// feed_test: what is done to samples becomes one node where the target does it so, with nothing
// done once, and the same bits.
#include <doctest/doctest.h>

#include <filesystem>

#include "core/ir/op_schema.h"
#include "core/passes/chains.h"
#include "core/passes/passes.h"
#include "tests/graph_case.h"
#include "tests/support/batch_bytes.h"
#include "tests/support/narrow_pipeline.h"
#include "tests/support/tiny_pipeline.h"

using namespace expgraph;
using namespace expgraph::test;
namespace fs = std::filesystem;

namespace {

const char* const kFeed = R"(
    %s = input samples : u8[9,8,8,3]
    %l = input labels : i32[9]
    %i = input index : i32[4]
    %x = gather(%s, %i) @ train/batch
    %n = normalise(%x) {mean=[1, 2, 3], std=[4, 5, 6]} @ train/normalise
    %c = choice train/crop/choice : i32[4,2] bounds [3, 3]
    %y = random_crop(%n, %c) {size=[6]} @ train/crop
    %z = to_images(%y) @ train/batch
    %b = gather(%l, %i) @ train/batch
    result images = %z
    result label = %b)";

std::string with(const std::string& old, const std::string& now) {
  std::string text = kFeed;
  const size_t at = text.find(old);
  REQUIRE(at != std::string::npos);
  return text.replace(at, old.size(), now);
}

bool is_feed(const std::string& text, const Target& target = expgraph::target("libtorch")) {
  return find_feed(parse(text), target).has_value();
}

const Node& only_node(const Graph& graph) {
  REQUIRE(graph.nodes().size() == 1);
  return graph.nodes()[0];
}

}  // namespace

TEST_CASE("a feed becomes one node for libtorch") {
  const auto pass = [](const Graph& graph) { return fuse(graph, target("libtorch")); };
  CHECK(run(kFeed, pass) == graph_of(R"(
    %s = input samples : u8[9,8,8,3]
    %l = input labels : i32[9]
    %i = input index : i32[4]
    %c = choice train/crop/choice : i32[4,2] bounds [3, 3]
    %z, %b = fusion(%s, %i, %c, %l) {kind="augment"} @ train/batch body augment {
      %s = input x : u8[9,8,8,3]
      %i = input index : i32[4]
      %c = input choice : i32[4,2]
      %l = input x_2 : i32[9]
      %x = gather(%s, %i) @ train/batch
      %n = normalise(%x) {mean=[1, 2, 3], std=[4, 5, 6]} @ train/normalise
      %y = random_crop(%n, %c) {size=[6]} @ train/crop
      %z = to_images(%y) @ train/batch
      %b = gather(%l, %i) @ train/batch
      result y = %z
      result y_2 = %b
    }
    result images = %z
    result label = %b)"));
  for (const char* other : {"onednn", "reference"})
    CHECK(fuse(parse(kFeed), target(other)).nodes().size() == 5);
}

TEST_CASE("only a whole feed of operators that the target takes is one") {
  CHECK(is_feed(kFeed));
  Target few = target("libtorch");
  few.feed.most = 2;
  CHECK(is_feed(kFeed, few));
  few.feed.most = 1;
  CHECK_FALSE(is_feed(kFeed, few));
  few.feed = {.ops = {"normalise"}, .most = 8};
  CHECK_FALSE(is_feed(kFeed, few));
  CHECK_FALSE(is_feed(with("result label = %b", "")));
  CHECK_FALSE(is_feed(with("result label = %b", "result label = %b\n    result more = %y")));
  CHECK_FALSE(is_feed(
      with("gather(%l, %i)", "gather(%l, %j)").replace(0, 0, "\n    %j = input other : i32[4]")));
  CHECK_FALSE(is_feed(with("to_images(%y)", "to_images(%n)")));
  CHECK_FALSE(is_feed(with("%b = gather(%l, %i)", "%b = gather(%l, %i) @ b\n    %t = relu(%z)")));
}

TEST_CASE("a feed moves the samples of its batch, not all that there are") {
  const Graph graph = fuse(parse(kFeed), target("libtorch"));
  const int64_t images = 4 * 3 * 6 * 6 * 4, labels = 4 * 4;
  const int64_t read = 4 * 8 * 8 * 3 + labels + 4 * 4 + 4 * 2 * 4;
  CHECK(cost_of(graph, only_node(graph)).bytes == images + labels + read);
}

TEST_CASE("every pipeline of the tree: libtorch's feed is one node over raw samples") {
  int seen = 0;
  for (const auto& entry : fs::directory_iterator(EXPGRAPH_SOURCE_DIR "/graphs/pipelines")) {
    const CompiledPipeline compiled = compile_narrow(entry.path(), "libtorch");
    for (const SidePrograms* side : {&compiled.train, &*compiled.test}) {
      INFO(side->feed.graph.name(), " of ", entry.path().string());
      CHECK_FALSE(side->prepare.has_value());
      CHECK(only_node(side->feed.graph).attributes.text("kind") == "augment");
      const Leaf* samples = side->feed.graph.find_leaf("samples");
      REQUIRE(samples != nullptr);
      CHECK(side->feed.graph.type(samples->value) ==
            TensorType{DType::u8, {side->graphs.data.count, 32, 32, 3}});
    }
    CHECK(compiled.data_bytes == 2 * int64_t{1 << 16} * 32 * 32 * 3);
    ++seen;
  }
  CHECK(seen >= 3);
}

TEST_CASE("samples that are fused are those that are not, bit for bit") {
  OpenDatasets datasets({.cache = (fs::temp_directory_path() / "expgraph_feed_test").string()});
  const FlatSpec spec = tiny_spec();
  for (const char* side : {"train", "test"}) {
    const auto bytes = [&](const char* target, bool fuse) {
      return batch_bytes(spec, {.backend = target, .fuse = fuse}, "reference", side, datasets);
    };
    const std::vector<std::byte> prepared = bytes("reference", true);
    CHECK(prepared.size() >= size_t{24} * 3 * 32 * 32 * 4);
    CHECK(prepared == bytes("libtorch", true));
    CHECK(prepared == bytes("libtorch", false));
  }
}

TEST_CASE("what is done once, or why not, is what the target does") {
  const auto side = [](const std::string& target, bool fuse) {
    return compile_pipeline(tiny_spec(), {.backend = target, .fuse = fuse}).train.graphs;
  };
  const SideGraphs fused = side("libtorch", true), apart = side("libtorch", false);
  CHECK(fused.prepared_paths.empty());
  CHECK(fused.fed_paths == std::vector<std::string>{"train/normalise", "train/pad", "train/crop",
                                                    "train/flip", "train/cutout"});
  CHECK(fused.why_not_cached ==
        "normalise, pad could be done once: no random choice comes before, but the backend fuses "
        "all of it");
  CHECK(apart.prepared_paths ==
        std::vector<std::string>{"train/normalise", "train/pad", "train/cache"});
  CHECK(apart.why_not_cached.empty());
  CHECK(side("onednn", true).prepared_paths == apart.prepared_paths);
}

TEST_CASE("more stages than the target takes leave the cache where it is") {
  std::string text = kTinyPipeline;
  const std::string flip = "    flip: random_flip\n";
  for (int k = 0; k < 4; ++k)
    text.insert(text.find(flip), "    flip" + std::to_string(k) + ": random_flip\n");
  const auto compiled = [&] {
    return compile_pipeline(expand_text(text, "tiny.yaml", ".", {}, op_names()),
                            {.backend = "libtorch"});
  };
  const CompiledPipeline many = compiled();
  REQUIRE(many.train.prepare.has_value());
  CHECK(many.train.graphs.prepared_paths.size() == 3);
  const Graph& feed = many.train.feed.graph;
  CHECK(only_node(feed).attributes.text("kind") == "augment");
  CHECK(feed.type(feed.find_leaf("samples")->value).dtype == DType::f32);
}
