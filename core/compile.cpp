// compile: the walk. FlatSpec -> graphs -> passes -> memory plans, for each side and rate.
#include "core/compile.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/ir/op_schema.h"
#include "core/precision_of.h"
#include "core/program_cache.h"
#include "core/support/hash.h"
#include "core/support/size.h"

namespace expgraph {
namespace {

/// Passes and memory plan of one graph; every stage is shown to the caller's dump.
Program compile_graph(Graph graph, const Purpose& purpose, const std::string& stage,
                      const CompilePipelineOptions& options) {
  const auto& [training, compute, memory] = purpose;
  std::string key;
  if (options.cache != nullptr) {
    key = ProgramCache::key(graph, purpose);
    if (const auto known = options.cache->find(key)) return *known;
  }
  PassOptions passes{.simplify = options.simplify, .fuse = options.fuse, .memory = memory};
  int number = 0;
  const auto show = [&](std::string_view name, const Graph& now, bool changed) {
    options.dump({.name = fmt::format("{}/{}-{}", stage, number++, name),
                  .text = changed ? to_text(now) : "(unchanged)\n",
                  .graph = &now,
                  .changed = changed});
  };
  if (options.dump) {
    show("build", graph, true);
    passes.dump = show;
  }
  TrainingSpec in_precision = training != nullptr ? *training : TrainingSpec{};
  if (compute != DType::f32) {
    const std::vector<ValueId*> values = in_precision.values();
    std::vector<ValueId> followed;
    for (const ValueId* value : values) followed.push_back(*value);
    graph = precision(graph, compute, followed);
    for (size_t k = 0; k < values.size(); ++k) *values[k] = followed[k];
    if (options.dump) show("precision", graph, true);
  }
  const Target& goal = target(options.backend);
  BudgetReport report;
  passes.budget_report = &report;
  Program program{.graph = run_passes(std::move(graph),
                                      training != nullptr ? &in_precision : nullptr, goal, passes),
                  .plan = {}};
  if (memory) program.budget = report;
  program.plan = plan_memory(program.graph, goal, options.share_memory);
  verify_plan(program.graph, program.plan);
  if (options.cache != nullptr) {
    program.identity = program_identity(program);
    options.cache->add(key, program);
  }
  return program;
}

/// What is done to samples before the step is done in f32.
SidePrograms compile_side(SideGraphs graphs, DType compute,
                          const std::optional<MemoryBudget>& memory, const std::string& side,
                          const CompilePipelineOptions& options) {
  SidePrograms programs;
  if (graphs.prepare) {
    programs.prepare = compile_graph(*graphs.prepare, {}, side + "/prepare", options);
  }
  for (const StartSpec& start : graphs.starts) {
    programs.starts.push_back(
        compile_graph(start.samples, {}, side + "/start/" + start.state, options));
  }
  programs.feed = compile_graph(graphs.feed, {}, side + "/feed", options);
  const TrainingSpec* training = graphs.training ? &*graphs.training : nullptr;
  programs.step =
      compile_graph(graphs.forward, {.training = training, .compute = compute, .memory = memory},
                    side + "/step", options);
  programs.graphs = std::move(graphs);
  return programs;
}

/// The evaluation graph with the averages of the training step where it has any of its states.
Graph read_averages(const Graph& forward, const SidePrograms& train) {
  const auto rename = [&](const std::string& name) {
    for (const AverageSpec& average : train.graphs.training->averages) {
      const std::string averaged = fmt::format("{}/{}", name, average.op->name);
      if (average.op->evaluated && train.step.graph.find_leaf(averaged)) return averaged;
    }
    return name;
  };
  Rewriter rewriter(forward, rename);
  for (size_t n = 0; n < forward.nodes().size(); ++n) rewriter.copy({static_cast<int32_t>(n)});
  return rewriter.finish();
}

int64_t trainable_elements(const Graph& graph) {
  int64_t count = 0;
  for (const Leaf& leaf : graph.leaves()) {
    if (leaf.trainable) count += graph.type(leaf.value).elements();
  }
  return count;
}

Cost total_cost(const Graph& graph) {
  Cost total;
  for (const Node& node : graph.nodes()) {
    const Cost cost = cost_of(graph, node);
    total.macs += cost.macs;
    total.flops += cost.flops;
    total.bytes += cost.bytes;
  }
  return total;
}

int64_t resident_bytes(const SideGraphs& side) {
  return side.feed.type(side.feed.find_leaf("samples")->value).bytes();
}

/// Training keeps to its budget; evaluation keeps nothing that could be made again.
void check_evaluation(const CompiledPipeline& compiled, const MemoryBudget& memory) {
  if (compiled.peak_bytes <= memory.bytes) return;
  throw Error(
      fmt::format("evaluation at batch {} takes {}, 'memory' is {}",
                  compiled.test->graphs.nominal_batch, size_text(compiled.peak_bytes), memory.text),
      memory.where)
      .note("it keeps nothing that could be made again: a smaller batch of 'test' takes less");
}

}  // namespace

std::string program_identity(const Program& program) {
  return program.identity.empty() ? content_hash(to_text(program.graph)) : program.identity;
}

int64_t remainder_batch(const SideGraphs& side) {
  return side.drop_last ? 0 : side.data.count % side.nominal_batch;
}

int64_t steps_of_epoch(const SideGraphs& side) {
  return side.data.count / side.nominal_batch + (remainder_batch(side) > 0 ? 1 : 0);
}

CompiledPipeline compile_pipeline(const FlatSpec& spec, const CompilePipelineOptions& options) {
  if (options.dump) options.dump({.name = "spec", .text = to_yaml(spec)});
  BuildOptions build = options.build;
  if (options.fuse) build.feed = target(options.backend).feed;
  PipelineGraphs graphs = build_pipeline(spec, build);

  CompiledPipeline out;
  const DType compute = precision_of(spec);
  out.epochs = graphs.epochs;
  out.stop = graphs.stop;
  out.steps_per_epoch = steps_of_epoch(graphs.train);
  out.steps = static_cast<int64_t>(std::ceil(graphs.epochs * double(out.steps_per_epoch) - 1e-9));
  out.parameters = trainable_elements(graphs.train.forward);
  out.macs = total_cost(graphs.train.forward).macs / graphs.train.batch;

  out.train = compile_side(std::move(graphs.train), compute, graphs.memory, "train", options);
  out.flops = total_cost(out.train.step.graph).flops;
  const MemoryPlan& train = out.train.step.plan;
  out.data_bytes = resident_bytes(out.train.graphs);
  int64_t arena = train.arena_bytes;
  int64_t bindings = train.binding_bytes;
  if (graphs.test) {
    graphs.test->forward = read_averages(graphs.test->forward, out.train);
    out.test = compile_side(std::move(*graphs.test), compute, {}, "test", options);
    arena = std::max(arena, out.test->step.plan.arena_bytes);
    bindings = std::max(bindings, out.test->step.plan.binding_bytes);
    out.data_bytes += resident_bytes(out.test->graphs);
  }
  out.peak_bytes = arena + bindings + train.state_bytes;
  if (graphs.memory) check_evaluation(out, *graphs.memory);
  return out;
}

}  // namespace expgraph
