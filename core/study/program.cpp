// program: a compiled pipeline -> what proves that two of them do the same.
#include "core/study/program.h"

#include <fmt/format.h>

#include "core/ir/op_schema.h"
#include "core/support/hash.h"

namespace expgraph {
namespace {

// Each function takes its struct apart by structured bindings: a member that is added to one of
// them does not compile here until somebody has said whether it decides what a run does.

std::string text_of(const DatasetInfo& data) {
  const auto& [name, split, count, height, width, channels, classes] = data;
  return fmt::format("data {} {} {} {}x{}x{} {}\n", name, split, count, height, width, channels,
                     classes);
}

/// A schedule that no node of the step reads does nothing.
std::string text_of(const ScheduleSpec& schedule, const Graph& step) {
  const auto& [leaf_name, op, attributes, where] = schedule;
  const Leaf* leaf = step.find_leaf(leaf_name);
  if (leaf == nullptr || step.consumers()[size_t(leaf->value.index)].empty()) return "";
  return fmt::format("schedule {} {}{}\n", leaf_name, op->name, to_text(attributes));
}

std::string text_of(const StartSpec& start) {
  const auto& [path, state, op, attributes, samples] = start;
  return fmt::format("start {} {}{}\n{}", state, op->name, to_text(attributes), to_text(samples));
}

std::string text_of(const SidePrograms& side) {
  const auto& [graphs, prepare, start_programs, feed, step] = side;
  const auto& [data, prepare_graph, chunk, prepared, fed, why_not, feed_graph, forward, batch,
               nominal_batch, shuffle, drop_last, metrics, schedules, starts, training] = graphs;
  std::string out = text_of(data);
  if (prepare) out += program_identity(*prepare);
  out += program_identity(feed) + program_identity(step) + "\n";
  out +=
      fmt::format("batch {} of {} shuffle {} drop {}\n", batch, nominal_batch, shuffle, drop_last);
  for (const MetricSpec& metric : metrics) {
    const auto& [name, result, kind] = metric;
    out += fmt::format("metric {} {} {}\n", name, result, static_cast<int>(kind));
  }
  for (const StartSpec& start : starts) out += text_of(start);
  for (const ScheduleSpec& schedule : schedules) out += text_of(schedule, step.graph);
  return out;
}

}  // namespace

ProgramIdentity identify(const CompiledPipeline& compiled) {
  const auto& [epochs, stop, steps_per_epoch, steps, parameters, macs, flops, peak, data_bytes,
               train, test] = compiled;
  std::string training = fmt::format("epochs {} steps {} of {}\n", epochs, steps, steps_per_epoch);
  std::string evaluation;
  if (test) evaluation = content_hash(text_of(*test));
  // When training ends depends on what is measured, then on how.
  if (stop) training += fmt::format("stop {} {}\n", stop->str(), evaluation);
  return {.training = content_hash(training + text_of(train)), .evaluation = evaluation};
}

}  // namespace expgraph
