// pass: runs the passes of a step in their order; each is timed, verified, shown to `dump`.
#include <chrono>

#include "core/passes/passes.h"
#include "core/passes/walk.h"

namespace expgraph {
namespace {

class Pipeline {
 public:
  Pipeline(Graph graph, const PassOptions& options) : graph_(std::move(graph)), options_(options) {
    verify(graph_);
  }

  const Graph& graph() const { return graph_; }
  Graph take() { return std::move(graph_); }

  template <typename Pass>
  void run(std::string_view name, const Pass& pass) {
    const auto start = std::chrono::steady_clock::now();
    Graph next = pass(graph_);
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    verify(next);
    const bool watched = options_.dump || options_.reports != nullptr;
    const bool changed = watched && !same_graph(graph_, next);
    graph_ = std::move(next);
    if (options_.reports != nullptr) {
      options_.reports->push_back({std::string(name), time.count(), changed});
    }
    if (options_.dump) options_.dump(name, graph_, changed);
  }

 private:
  Graph graph_;
  const PassOptions& options_;
};

}  // namespace

Graph run_passes(Graph forward, const OptimiserSpec* optimiser, const Target& target,
                 const PassOptions& options) {
  Pipeline passes(std::move(forward), options);
  OptimiserSpec step;
  std::vector<ValueId> followed;
  if (optimiser != nullptr) {
    step = *optimiser;
    followed = {step.loss, step.lr};
  }
  if (options.simplify) {
    passes.run("simplify", [&](const Graph& graph) { return simplify(graph, followed); });
  }
  if (optimiser != nullptr) {
    step.loss = followed[0];
    step.lr = followed[1];
    passes.run("make_step", [&](const Graph& graph) { return make_step(graph, step); });
    if (options.simplify) {
      passes.run("simplify_step", [](const Graph& graph) { return simplify(graph); });
    }
    if (target.recompute) {
      passes.run("recompute", [&](const Graph& graph) { return recompute(graph, target); });
    }
  }
  if (options.fuse) {
    passes.run("fuse", [&](const Graph& graph) { return fuse(graph, target); });
  }
  return passes.take();
}

}  // namespace expgraph
