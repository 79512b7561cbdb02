// bench: a pipeline -> how long a step of its training takes on a backend, on generated samples,
// in how much memory, and which of its nodes take the time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/backend.h"
#include "core/bench/peaks.h"
#include "core/ir/op_schema.h"
#include "core/spec/graph_spec.h"
#include "core/train/side_run.h"

namespace expgraph {

struct BenchOptions {
  int64_t batch = 0;  ///< 0: as the pipeline says
  int64_t steps = 20;
  int64_t warm_up = 3;
  int threads = 0;      ///< 0: all that the process may use
  bool profile = true;  ///< steps of their own in which every operator is timed
  bool limits = false;  ///< with profile: what the machine gives, and each product when repeated
};

/// A node of a step.
struct TimedNode {
  std::string name;  ///< its operator, or the kind of its fusion
  Cost cost;
  double seconds = 0;  ///< mean over the profiled steps
  std::string path;
  std::string shape;   ///< types of its outputs
  double alone_s = 0;  ///< with limits: the best of kRepeats runs in a row
  NodeTime last;       ///< in the last profiled step

  bool is_product() const { return cost.macs > 0; }  ///< a convolution or a product of matrices
};

/// All nodes of one operator (or one kind of fusion) in a step.
struct OperatorTime {
  std::string name;
  int64_t nodes = 0;
  double seconds = 0;  ///< of a step
  double gflops = 0;   ///< billions of floating point operations a second
};

/// Where the memory of a process goes that trains, bytes. The first two are measured: no plan can
/// tell them.
struct PlannedMemory {
  int64_t code = 0;    ///< of the program and its libraries, as far as it was used
  int64_t before = 0;  ///< what else the process had before the program was compiled
  SideMemory side;
  int64_t data = 0;  ///< samples as they were opened
  int64_t total() const { return code + before + side.total() + data; }
};

struct BenchResult {
  std::string backend;
  DType precision = DType::f32;
  int64_t batch = 0;
  int64_t steps = 0;
  int64_t samples = 0;              ///< generated
  double compile_s = 0;             ///< programs, kernels, states
  double first_step_s = 0;          ///< the first step alone
  double first_done_s = 0;          ///< from the start of the process to the end of that step
  double median_s = 0;              ///< of a step, the wait for its batch included
  double lower_s = 0, upper_s = 0;  ///< quartiles
  double images_per_second = 0;     ///< batch / median
  double gflops = 0;                ///< operations of a step / median
  int64_t parameters = 0, flops = 0;
  PlannedMemory planned;
  int64_t peak_rss_bytes = 0;           ///< of the whole process, before the profiled steps
  int64_t profiled_steps = 0;           ///< 0 without profile, as are all members below
  double profiled_s = 0;                ///< of such a step, mean
  double last_profiled_s = 0;           ///< the last of them
  std::vector<TimedNode> nodes;         ///< of the profiled steps, as they run
  std::vector<OperatorTime> operators;  ///< slowest first
  Peaks peaks;                          ///< with limits

  /// Of a profiled step: the share in which no convolution or product of matrices runs.
  double outside_products() const;
  /// With limits: operations of all products over the sum of their best times, GFLOP/s.
  double alone_gflops() const;
};

inline constexpr int kRepeats = 5;

/// Trains on random samples of the data set's shape and number of classes; what the real data are
/// does not matter to the time of a step. Errors: those of compile_pipeline.
BenchResult bench(FlatSpec spec, const Backend& backend, const BenchOptions& options);

}  // namespace expgraph
