// sample_store: a study's folder with drawings, environments and made-up results.
#include "tests/support/sample_store.h"

#include <fmt/format.h>

#include <fstream>

namespace expgraph {
namespace {

/// As viz/svg writes them: a group of two nodes and an edge between them.
std::string drawing(const std::string& title, int channels) {
  return fmt::format(
      R"(<svg xmlns="http://www.w3.org/2000/svg" width="200" height="160" viewBox="0 0 200 160" font-family="Helvetica,Arial,sans-serif">
<title>{0}</title>
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="100.0" y="27" font-size="16" font-weight="bold" fill="#1f2933" text-anchor="middle">{0}</text>
<g class="cluster"><title>train/net/block</title><rect x="20.0" y="40.0" width="160.0" height="110.0" rx="7" fill="#8796a8" fill-opacity="0.04" stroke="#c3cad3"/><text x="27.0" y="52.0" font-size="9" fill="#6b7683">block</text></g>
<g class="edge"><title>train/net/block/conv → train/net/block/relu: {1}×8×8</title><path d="M100.0 90.0C100.0 95.0 100.0 105.0 100.0 110.0" fill="none" stroke="#5b6672" stroke-width="1"/></g>
<g class="node"><title>train/net/block/conv
op: conv2d
channels: {1}</title><rect x="60.0" y="60.0" width="80.0" height="30.0" rx="5" fill="#cfe2ff" stroke="#2b5fb4"/><text x="100.0" y="78.0" font-size="10.5" fill="#10284d" text-anchor="middle"><tspan font-weight="bold">conv</tspan></text></g>
<g class="node"><title>train/net/block/relu
op: relu</title><rect x="60.0" y="110.0" width="80.0" height="30.0" rx="5" fill="#fde4cf" stroke="#c2682a"/><text x="100.0" y="128.0" font-size="10.5" fill="#4d2508" text-anchor="middle"><tspan font-weight="bold">relu</tspan></text></g>
<text class="shape" x="100.0" y="102.8" font-size="8" fill="#6b7683" text-anchor="middle" stroke="#ffffff" stroke-width="2.5" paint-order="stroke">{1}×8×8</text>
</svg>
)",
      title, channels);
}

/// Three epochs; at the end 60 % with seed 0, 70 % with seed 1, and `more`.
RunRecord record(int seed, double more) {
  RunRecord out{.metrics = {{"train/loss", false},
                            {"train/accuracy", true},
                            {"test/loss", false},
                            {"test/accuracy", true}},
                .epochs = 3,
                .steps = 30,
                .parameters = 1234,
                .macs = 56789,
                .peak_bytes = 1 << 20};
  for (int epoch = 1; epoch <= 3; ++epoch) {
    const double accuracy = 0.2 * epoch + 0.1 * seed + more;
    out.history.push_back({.epoch = epoch,
                           .learning_rate = 0.1 * (3 - epoch),
                           .metrics = {2.0 / epoch, accuracy, 2.2 / epoch, accuracy},
                           .seconds = (10.0 + seed) * epoch,
                           .images_per_second = 100});
  }
  out.clocks.steps = out.history.back().seconds;
  return out;
}

}  // namespace

SampleStore::SampleStore() {
  result_ = {.study = "sample",
             .note = "made up",
             .profile = "quick",
             .backend = "onednn",
             .command = "expgraph run study.yaml --only base,batch,wide --seeds 2",
             .variants = {}};
  const auto add = [&](const std::string& name, const std::string& base, const std::string& batch,
                       int channels, double more) {
    VariantResult variant{.name = name,
                          .title = name,
                          .note = "note of " + name,
                          .base = base,
                          .settings = {{"batch.size", batch}, {"lr.values", "[0, 0.3333333333]"}},
                          .runs = {}};
    for (int seed = 0; seed < 2; ++seed) {
      const std::string folder = fmt::format("{}/{}-k", name, seed);
      variant.runs.push_back({.seed = seed,
                              .folder = folder,
                              .record = record(seed, more),
                              .machine = "a machine, 2 cores",
                              .error = ""});
      write(folder + "/net.svg", drawing(name, channels));
      if (!base.empty()) write(folder + "/edit.svg", drawing("edit " + name, channels + 1));
      write(folder + "/environment.json",
            R"({"identity": {"code": "0.1.0-aaaa"}, "cpu": "a machine, 2 cores", "cores": "2"})");
    }
    result_.variants.push_back(std::move(variant));
  };
  add("base", "", "16", 8, 0);
  add("batch", "base", "32", 8, 0.05);
  add("wide", "batch", "32", 16, 0.1);
}

void SampleStore::write(const std::string& path, const std::string& text) const {
  const std::filesystem::path place = folder_.path / path;
  std::filesystem::create_directories(place.parent_path());
  std::ofstream(place, std::ios::binary) << text;
}

}  // namespace expgraph
