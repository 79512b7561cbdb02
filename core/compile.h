// compile: the walk. FlatSpec -> programs (graph and memory plan) of training and evaluation.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/passes/plan_memory.h"
#include "core/pipeline.h"

namespace expgraph {

struct Program {
  Graph graph;
  MemoryPlan plan;
  std::string identity = {};  ///< program_identity, when a cache has had it made already
  std::optional<BudgetReport> budget = {};  ///< of a training step that has one
};

/// Hash of a program's text: equal for programs that do the same, to the last attribute.
std::string program_identity(const Program& program);

/// One side, compiled.
struct SidePrograms {
  SideGraphs graphs;  ///< what it was made from: data, batch, metrics, schedules
  std::optional<Program> prepare;
  std::vector<Program> starts;  ///< one a start of the graphs
  Program feed;
  Program step;  ///< train: forward, backward, update; test: forward alone
};

struct CompiledPipeline {
  double epochs = 0;
  std::optional<Condition> stop;  ///< ends training after the first epoch at which it holds
  int64_t steps_per_epoch = 0;
  int64_t steps = 0;       ///< of the whole training
  int64_t parameters = 0;  ///< elements of trainable states, frozen ones too
  int64_t macs = 0;        ///< of one forward pass of one image
  int64_t flops = 0;       ///< of one whole training step
  int64_t peak_bytes = 0;  ///< planned: states, the larger arena of train and test, their bindings
  int64_t data_bytes = 0;  ///< samples of both sides as they wait in memory
  SidePrograms train;
  std::optional<SidePrograms> test;
};

/// One stage of the walk, handed to `dump`: "train/step/3-fuse" and its text; a graph stage also
/// gives the graph, for a drawing.
struct Stage {
  std::string name;
  std::string text;
  const Graph* graph = nullptr;
  bool changed = true;
};

class ProgramCache;

struct CompilePipelineOptions {
  std::string backend = "onednn";
  bool simplify = true;
  bool fuse = true;
  bool share_memory = true;
  BuildOptions build;
  std::function<void(const Stage&)> dump;  ///< may be empty
  ProgramCache* cache = nullptr;           ///< of programs made with these options; not with dump
};

CompiledPipeline compile_pipeline(const FlatSpec& spec, const CompilePipelineOptions& options = {});

/// Samples of the last batch of an epoch when it is smaller than the others; 0 when there is none.
int64_t remainder_batch(const SideGraphs& side);

/// Steps of one pass over the data, the last, smaller batch included unless it is dropped.
int64_t steps_of_epoch(const SideGraphs& side);

}  // namespace expgraph
