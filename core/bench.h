// bench: a pipeline -> how long a step of its training takes on a backend, on generated samples.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/backend.h"
#include "core/ir/op_schema.h"
#include "core/spec/graph_spec.h"

namespace expgraph {

struct BenchOptions {
  int64_t batch = 0;  ///< 0: as the pipeline says
  int64_t steps = 20;
  int64_t warm_up = 3;
  int threads = 0;      ///< 0: all that the process may use
  bool profile = true;  ///< a pass of its own in which every operator is timed
};

/// A node of a step.
struct TimedNode {
  std::string name;  ///< its operator, or the kind of its fusion
  Cost cost;
  double seconds = 0;  ///< mean over the profiled steps
};

/// All nodes of one operator (or one kind of fusion) in a step.
struct OperatorTime {
  std::string name;
  int64_t nodes = 0;
  double seconds = 0;  ///< of a step
  double gflops = 0;   ///< billions of floating point operations a second
};

struct BenchResult {
  std::string backend;
  DType precision = DType::f32;
  int64_t batch = 0;
  int64_t steps = 0;
  int64_t samples = 0;              ///< generated
  double compile_s = 0;             ///< programs, kernels, states
  double first_step_s = 0;          ///< the first step alone
  double median_s = 0;              ///< of a step, the wait for its batch included
  double lower_s = 0, upper_s = 0;  ///< quartiles
  double images_per_second = 0;     ///< batch / median
  double gflops = 0;                ///< operations of a step / median
  int64_t parameters = 0, flops = 0;
  int64_t planned_bytes = 0;            ///< states, arena and bindings as planned
  int64_t peak_rss_bytes = 0;           ///< of the whole process, before the profiled pass
  std::vector<TimedNode> nodes;         ///< of the profiled steps, as they run
  std::vector<OperatorTime> operators;  ///< slowest first
};

/// Trains on random samples of the data set's shape and number of classes; what the real data are
/// does not matter to the time of a step. Errors: those of compile_pipeline.
BenchResult bench(FlatSpec spec, const Backend& backend, const BenchOptions& options);

/// Most memory that this process has had (VmHWM), bytes.
int64_t peak_resident_bytes();

}  // namespace expgraph
