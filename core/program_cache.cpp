// program_cache: graphs that were compiled before -> their programs.
#include "core/program_cache.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/ir/op_schema.h"

namespace expgraph {
namespace {

// Each function takes its struct apart by structured bindings: a member that is added to one of
// them does not compile here until somebody has said whether it decides what is compiled.

std::string text_of(const OptimiserSpec& optimiser) {
  const auto& [path, op, attributes, loss, lr, inputs, takes_rest, parameters, where] = optimiser;
  std::string out = fmt::format("{} {}{} {} {} {}", path, op->name, to_text(attributes), loss.index,
                                lr.index, takes_rest);
  for (const ValueId input : inputs) out += fmt::format(" {}", input.index);
  return out + fmt::format(" {}\n", fmt::join(parameters, " "));
}

std::string text_of(const ParameterGroup& group) {
  const auto& [path, parameters, lr, weight_decay, schedule, where] = group;
  return fmt::format("{} {} {} {} {}\n", path, lr, weight_decay, schedule.index,
                     fmt::join(parameters, " "));
}

std::string text_of(const AverageSpec& average) {
  const auto& [path, op, attributes, decay, when, last, where] = average;
  return fmt::format("{} {}{} {} {} {}\n", path, op->name, to_text(attributes), decay.index,
                     when.index, last.index);
}

std::string text_of(const TrainingSpec& training) {
  const auto& [optimisers, groups, averages, loss_scale] = training;
  std::string out;
  for (const OptimiserSpec& optimiser : optimisers) out += text_of(optimiser);
  for (const ParameterGroup& group : groups) out += text_of(group);
  for (const AverageSpec& average : averages) out += text_of(average);
  if (loss_scale) out += loss_scale->path + to_text(loss_scale->attributes);
  return out;
}

}  // namespace

std::string ProgramCache::key(const Graph& graph, const Purpose& purpose) {
  const auto& [training, compute, memory] = purpose;
  std::string key = to_text(graph);
  key += to_string(compute);
  if (memory) key += fmt::format(" {}", memory->bytes);
  if (training != nullptr) key += "\n" + text_of(*training);
  return key;
}

std::shared_ptr<const Program> ProgramCache::find(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = programs_.find(key);
  return found == programs_.end() ? nullptr : found->second;
}

void ProgramCache::add(const std::string& key, const Program& program) {
  const std::lock_guard lock(mutex_);
  programs_.emplace(key, std::make_shared<const Program>(program));
}

}  // namespace expgraph
