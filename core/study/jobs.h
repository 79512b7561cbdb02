// jobs: pieces of work in an order -> done by several threads, as far as they may be side by side.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace expgraph {

struct Job {
  std::string group;           ///< jobs of one group are done one after the other, in order
  std::function<bool()> work;  ///< false: no further job is begun
};

/// Begins jobs in their order, at most `side_by_side` at a time; one that has to wait for another
/// of its group is passed over. An exception ends it as false does, and is thrown when all that had
/// begun is done.
void run_jobs(std::vector<Job> jobs, int side_by_side);

}  // namespace expgraph
