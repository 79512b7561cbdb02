// pipeline: FlatSpec -> the graphs of training and evaluation, split by rate. Each node is typed
// when it is added; what is upstream of `cache` goes to `prepare`, what lies between it and `batch`
// to `feed`, all after `batch` to `forward`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/ir/graph.h"
#include "core/passes/passes.h"
#include "core/spec/condition.h"
#include "core/spec/graph_spec.h"

namespace expgraph {

/// What the compiler must know of a data set before it is read.
struct DatasetInfo {
  std::string name;   ///< "cifar10"
  std::string split;  ///< "train"
  int64_t count = 0;
  int64_t height = 0, width = 0, channels = 3;
  int64_t classes = 0;
};

struct MetricSpec {
  enum class Kind { sum, mean };  ///< how a batch's value combines over batches
  std::string name;               ///< "loss", "accuracy": last component of the node's path
  std::string result;             ///< name of the graph result: the node's path
  Kind kind = Kind::mean;
};

/// A schedule node: a scalar input leaf of the step, known for every step in advance.
struct ScheduleSpec {
  std::string leaf;  ///< the node's path
  const OpSchema* op = nullptr;
  Attributes attributes;
  Location where;
};

/// A node that gives a parameter its start values: once, before training, from the first samples.
struct StartSpec {
  std::string path;   ///< of the node: "train/whitening"
  std::string state;  ///< "train/net/whiten/w"
  const OpSchema* op = nullptr;
  Attributes attributes;
  Graph samples{"start"};  ///< input "source" u8[images,H,W,C]; result "samples" f32[images,...]
};

/// One side of a pipeline: `train` or `test`.
/// Leaves of prepare: input "source" u8[N,H,W,C]; result "samples". There is none where the backend
/// does it all for every batch.
/// Leaves of feed: inputs "samples" [count,...] (what prepare made, or the raw data), "labels"
/// i32[count], "index" i32[B]; choices; results "images" f32[B,C,H,W] and "label" i32[B].
/// Leaves of forward: inputs "images", "label", one scalar a schedule; states; results = metrics.
struct SideGraphs {
  DatasetInfo data;
  std::optional<Graph> prepare;  ///< for N = prepare_chunk samples; none when nothing is cached
  int64_t prepare_chunk = 0;
  std::vector<std::string> prepared_paths;  ///< nodes done once
  std::vector<std::string> fed_paths;       ///< nodes done for every batch
  std::string why_not_cached;               ///< "" or why a node that could be done once is not
  Graph feed;
  Graph forward;
  int64_t batch = 0;          ///< samples a step of this compilation
  int64_t nominal_batch = 0;  ///< the batch attribute
  bool shuffle = false;
  bool drop_last = false;
  std::vector<MetricSpec> metrics;
  std::vector<ScheduleSpec> schedules;
  std::vector<StartSpec> starts;         ///< train only
  std::optional<TrainingSpec> training;  ///< train only; ids are those of `forward`
};

struct PipelineGraphs {
  double epochs = 0;
  std::optional<Condition> stop;  ///< ends training after the first epoch at which it holds
  std::optional<MemoryBudget> memory;
  SideGraphs train;
  std::optional<SideGraphs> test;
};

struct BuildOptions {
  std::optional<int64_t> train_batch,
      test_batch;  ///< instead of the attribute: the last, smaller batch
  /// What a backend does to samples for every batch rather than once.
  FeedFusion feed = {};
  /// Size of a data set that is on disk; the default answers from the known data sets.
  std::function<DatasetInfo(const std::string& name, const std::string& split, const Location&,
                            const Attributes&)>
      dataset;
};

/// Throws Error at the node's place with its chain of blocks.
PipelineGraphs build_pipeline(const FlatSpec& spec, const BuildOptions& options = {});

/// "train/loss", "test/accuracy": as records name them.
std::vector<std::string> metric_names(const SideGraphs& train,
                                      const std::optional<SideGraphs>& test);

/// OpNames from the op records.
const OpNames& op_names();

}  // namespace expgraph
