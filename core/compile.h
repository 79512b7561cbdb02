// compile: the walk. FlatSpec -> programs (graph and memory plan) of training and evaluation.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/passes/plan_memory.h"
#include "core/pipeline.h"

namespace expgraph {

struct Program {
  Graph graph;
  MemoryPlan plan;
};

/// One side, compiled.
struct SidePrograms {
  SideGraphs graphs;  ///< what it was made from: data, batch, metrics, schedules
  std::optional<Program> prepare;
  Program feed;
  Program step;  ///< train: forward, backward, update; test: forward alone
};

struct CompiledPipeline {
  double epochs = 0;
  int64_t steps_per_epoch = 0;
  int64_t steps = 0;       ///< of the whole training
  int64_t parameters = 0;  ///< elements of trainable states
  int64_t macs = 0;        ///< of one forward pass of one image
  int64_t peak_bytes = 0;  ///< planned: arena, states, bindings of the largest step
  SidePrograms train;
  std::optional<SidePrograms> test;
};

struct CompilePipelineOptions {
  std::string backend = "onednn";
  bool simplify = true;
  bool fuse = true;
  bool share_memory = true;
  BuildOptions build;
  std::string dump_directory;  ///< "" = none; else every stage, numbered, as text and DOT
};

CompiledPipeline compile_pipeline(const FlatSpec& spec, const CompilePipelineOptions& options = {});

/// Samples of the last batch of an epoch when it is smaller than the others; 0 when there is none.
int64_t remainder_batch(const SideGraphs& side);

}  // namespace expgraph
