// guarded_run: a program run with guard zones around every tensor -> its results and what it
// touched that is not its own.
#pragma once

#include <string>
#include <vector>

#include "core/backend.h"
#include "tests/support/op_case.h"

namespace expgraph::test {

struct GuardedRun {
  Tensors results;
  std::vector<std::string> faults;  ///< guard zones written, inputs changed
};

/// A plan in which every value has its own bytes with a guard zone after it; outputs that are
/// neither read nor results are not materialised.
MemoryPlan guarded_plan(const Graph& graph);

/// Runs once. All memory that the program is not given is filled with NaNs and looked at
/// afterwards; so are outputs before the run, so that an element left unwritten shows.
/// `overwritten`: the input that the plan lets the program write over.
GuardedRun guarded_run(const Backend& backend, const Graph& graph, const MemoryPlan& plan,
                       const Tensors& inputs, const std::string& overwritten = {}, int threads = 2);

}  // namespace expgraph::test
