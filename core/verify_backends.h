// verify_backends: a pipeline and two backends -> how far apart the first steps of its training
// are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/backend.h"
#include "core/train/open_pipeline.h"

namespace expgraph {

struct VerifyOptions {
  int64_t steps = 20;
  uint64_t seed = 0;
  int threads = 0;  ///< 0: all that the process may use
};

/// Of a state after the last step, or of the loss of one step.
struct Difference {
  std::string name;     ///< "train/net/prep/conv/w", "loss of step 3"
  double absolute = 0;  ///< max |a - b|; NaN when one of them has a NaN
  double relative = 0;  ///< absolute / max |a|
  double chaos = 0;     ///< `relative` of b to b with the last bit of its weights changed
};

struct BackendDifferences {
  std::string a, b;                ///< the backends
  std::vector<Difference> losses;  ///< by step
  std::vector<Difference> states;  ///< largest relative first
  /// Largest relative difference of all; NaN when there is one.
  double worst() const;
  double worst_chaos() const;
};

/// Compiles the pipeline for each backend and trains both side by side from the same start values
/// on the same samples in the same order with the same random choices; whole batches only.
/// ReLU and max-pooling turn a rounding into a jump where two values are almost equal, and training
/// multiplies it. How much is measured too, as `chaos`: b trains once more with the last bit of
/// every start weight changed (docs/decisions/0005-agreement-of-backends.md).
///
/// Errors: those of open_pipeline.
BackendDifferences verify_backends(const FlatSpec& spec, const Backend& a, const Backend& b,
                                   OpenDatasets& datasets, const VerifyOptions& options = {});

/// max |a - b| and that over max |a|, of two dense tensors of one real type (f32 or f64).
Difference difference_of(std::string name, const TensorView& a, const TensorView& b);

}  // namespace expgraph
