// training: a compiled step -> what a few steps of it on random images leave behind.
#pragma once

#include <random>
#include <string>

#include "core/backend.h"
#include "core/compile.h"
#include "tests/support/op_case.h"

namespace expgraph::test {

/// States and results by name.
using Outcome = Tensors;

/// A store of one backend, and the steps that are run over it on random images, labels below 10 and
/// one learning rate; averages move in every second step, and what looks ahead takes them then and
/// in step 2. The same calls give the same values on every backend and in f64.
class RandomTraining {
 public:
  explicit RandomTraining(const Backend& backend, float lr = 0.1f)
      : backend_(backend), store_(backend.make_store()), lr_(lr) {}

  /// Runs the program `steps` times; its results are named "<name><step> <result>".
  void run(const Graph& graph, const MemoryPlan& plan, int steps, const std::string& name);
  /// All results so far, and the states as they are.
  Outcome outcome() const;

 private:
  void create_states(const Graph& graph);

  const Backend& backend_;
  std::unique_ptr<StateStore> store_;
  float lr_;
  std::mt19937 random_{7};
  Outcome results_;
};

/// The first entry that differs by more than `tolerance` of its largest element or of `floor`; ""
/// when none does.
std::string first_difference(const Outcome& want, const Outcome& got, double tolerance,
                             double floor = 0);

}  // namespace expgraph::test
