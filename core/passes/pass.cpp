// pass: runs the passes of a step in their order; each is timed, verified, shown to `dump`.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "core/passes/analysis.h"
#include "core/passes/passes.h"

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

void check_types(const Graph& graph, const Target& target) {
  for (const Value& value : graph.values()) {
    const DType dtype = value.type.dtype;
    if (!is_real(dtype) || std::ranges::count(target.types, dtype) > 0) continue;
    throw Error(fmt::format("backend '{}' does not compute in {}", target.name, to_string(dtype)),
                value.producer.valid() ? graph.node(value.producer).where : Location());
  }
}

}  // namespace

Graph run_passes(Graph forward, const TrainingSpec* training, const Target& target,
                 const PassOptions& options) {
  check_types(forward, target);
  Pipeline passes(std::move(forward), options);
  Target goal = target;
  if (!options.fuse) goal.fusions.clear();  // what stays apart takes memory
  TrainingSpec step = training != nullptr ? *training : TrainingSpec{};
  if (options.simplify) {
    passes.run("simplify", [&](const Graph& graph) {
      const std::vector<ValueId*> values = step.values();
      std::vector<ValueId> followed;
      for (const ValueId* value : values) followed.push_back(*value);
      Graph simple = simplify(graph, followed);
      for (size_t k = 0; k < values.size(); ++k) *values[k] = followed[k];
      return simple;
    });
  }
  if (training != nullptr) {
    passes.run("make_step", [&](const Graph& graph) { return make_step(graph, step); });
    if (options.simplify) {
      passes.run("simplify_step", [](const Graph& graph) { return simplify(graph); });
    }
    if (options.memory) {
      passes.run("recompute", [&](const Graph& graph) {
        BudgetReport report;
        Graph kept = recompute(graph, goal, *options.memory, report);
        if (options.budget_report != nullptr) *options.budget_report = report;
        return kept;
      });
    } else if (goal.recompute || !goal.fusions.empty()) {
      passes.run("recompute", [&](const Graph& graph) { return recompute(graph, goal); });
    }
  }
  if (options.fuse) passes.run("fuse", [&](const Graph& graph) { return fuse(graph, goal); });
  if (training != nullptr && goal.update_early) passes.run("update_early", update_early);
  return passes.take();
}

}  // namespace expgraph
