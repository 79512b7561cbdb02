// peaks: a backend -> the most that it gets out of this machine, measured.
#include "core/bench/peaks.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace expgraph {
namespace {

constexpr int kRuns = 7;
constexpr int64_t kLeastSide = 256, kMostSide = 2048;
constexpr double kLongEnough = 0.01;                                        // seconds of a product
constexpr int64_t kLeastMaps = 384 << 20, kMostMaps = int64_t{1536} << 20;  // bytes, all three

/// Seconds of the one node of a graph over small numbers: the best of kRuns in a row.
double best_seconds(const Backend& backend, const Graph& graph, int threads) {
  const auto store = backend.make_store();
  const auto program = backend.compile(graph, plan_memory(graph, target(backend.name())),
                                       {.threads = threads, .profile = true, .repeats = kRuns});
  std::vector<std::shared_ptr<void>> memory;
  std::vector<Binding> inputs;
  for (const Leaf& leaf : graph.leaves()) {
    const auto [owner, view] = backend.make_buffer(graph.type(leaf.value));
    memory.push_back(owner);
    if (!view.on_device) std::memset(view.data, 0x3c, static_cast<size_t>(view.type.bytes()));
    inputs.push_back({leaf.name, view});
  }
  program->run(inputs, {}, *store);
  EXPGRAPH_CHECK(program->profile().size() == 1);
  return program->profile().front().seconds;
}

double product_seconds(const Backend& backend, DType dtype, int64_t side, int threads) {
  Graph graph("peak of arithmetic");
  const ValueId x = graph.add_input("x", {dtype, {side, side}});
  const ValueId w = graph.add_input("w", {dtype, {side, side}});
  Attributes attributes;
  attributes.set("features", side);
  attributes.set("bias", false);
  graph.add_result("y", graph.add("linear", {x, w}, attributes, "product"));
  return best_seconds(backend, graph, threads);
}

double sum_seconds(const Backend& backend, DType dtype, int64_t elements, int threads) {
  Graph graph("peak of traffic");
  const ValueId a = graph.add_input("a", {dtype, {elements}});
  const ValueId b = graph.add_input("b", {dtype, {elements}});
  graph.add_result("c", graph.add("add", {a, b}, {}, "sum"));
  return best_seconds(backend, graph, threads);
}

/// Of three maps that do not stay in a cache, though a virtual machine may be told of one that it
/// has but a part of.
int64_t bytes_of_maps() {
  const int64_t cache = std::max<int64_t>(0, sysconf(_SC_LEVEL3_CACHE_SIZE));
  return std::clamp(2 * cache, kLeastMaps, kMostMaps);
}

}  // namespace

double Peaks::seconds(double flops, double bytes) const {
  return std::max(flops / gflops, bytes / gbytes) * 1e-9;
}

Peaks measure_peaks(const Backend& backend, DType dtype, int threads) {
  Peaks peaks{.runs = kRuns};
  double seconds = 0;
  for (peaks.side = kLeastSide;; peaks.side *= 2) {
    seconds = product_seconds(backend, dtype, peaks.side, threads);
    if (seconds >= kLongEnough || peaks.side == kMostSide) break;
  }
  const auto side = static_cast<double>(peaks.side);
  peaks.gflops = 2 * side * side * side / seconds * 1e-9;
  const auto width = static_cast<int64_t>(size_of(dtype));
  const int64_t elements = bytes_of_maps() / 3 / width / 64 * 64;
  peaks.map_bytes = elements * width;
  const double map = double(peaks.map_bytes);
  peaks.gbytes = 3 * map / sum_seconds(backend, dtype, elements, threads) * 1e-9;
  return peaks;
}

}  // namespace expgraph
