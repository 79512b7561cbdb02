// program_cache: graphs that were compiled before -> their programs, for the many variants of a
// study, which have most of their graphs in common.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "core/compile.h"

namespace expgraph {

/// What a graph is compiled for, beside the options.
struct Purpose {
  const TrainingSpec* training = nullptr;  ///< null: to be run as it is
  DType compute = DType::f32;
  std::optional<MemoryBudget> memory = {};
};

/// Of programs made with equal options. May be used by several threads.
class ProgramCache {
 public:
  /// All that a program is made from; equal texts give equal programs but for locations.
  static std::string key(const Graph& graph, const Purpose& purpose);

  std::shared_ptr<const Program> find(const std::string& key) const;  ///< null when there is none
  void add(const std::string& key, const Program& program);

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<const Program>> programs_;
};

}  // namespace expgraph
