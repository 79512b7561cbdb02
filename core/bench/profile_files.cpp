// profile_files: a benched step -> texts for files: its nodes as a table, as JSON, as a trace.
#include "core/bench/profile_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/passes/precision.h"

namespace expgraph {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kProcess = 1, kStepThread = 1, kNodeThread = 2;

Json name_event(const char* what, int thread, const std::string& name) {
  return {
      {"name", what}, {"ph", "M"}, {"pid", kProcess}, {"tid", thread}, {"args", {{"name", name}}}};
}

Json complete_event(const std::string& name, int thread, double start, double seconds) {
  return {{"name", name},  {"ph", "X"},         {"pid", kProcess},
          {"tid", thread}, {"ts", start * 1e6}, {"dur", seconds * 1e6}};
}

/// Rates of the one step that the trace shows.
Json node_event(const BenchResult& result, TimedNode node) {
  node.seconds = node.last.seconds;
  const NodeRates rates = rates_of(result, node);
  Json event = complete_event(node.name, kNodeThread, node.last.start, node.last.seconds);
  event["cat"] = node.is_product() ? "product" : "other";
  event["args"] = {{"path", node.path},
                   {"operator", node.name},
                   {"outputs", node.shape},
                   {"flops", node.cost.flops},
                   {"bytes", node.cost.bytes},
                   {"gflops", rates.gflops},
                   {"gbytes_per_s", rates.gbytes},
                   {"of_roof", rates.of_roof}};
  return event;
}

std::string text_of(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

NodeRates rates_of(const BenchResult& result, const TimedNode& node) {
  double total = 0;
  for (const TimedNode& each : result.nodes) total += each.seconds;
  if (node.seconds <= 0) return {};
  const auto flops = double(node.cost.flops), bytes = double(node.cost.bytes);
  return {.gflops = flops / node.seconds * 1e-9,
          .gbytes = bytes / node.seconds * 1e-9,
          .share = node.seconds / total,
          .of_roof = result.peaks.seconds(flops, bytes) / node.seconds};
}

std::vector<const TimedNode*> slowest_first(const BenchResult& result) {
  std::vector<const TimedNode*> nodes;
  for (const TimedNode& node : result.nodes) nodes.push_back(&node);
  std::stable_sort(nodes.begin(), nodes.end(),
                   [](const auto* a, const auto* b) { return a->seconds > b->seconds; });
  return nodes;
}

std::string profile_json(const BenchResult& result, const std::string& machine) {
  Json nodes = Json::array();
  for (const TimedNode* node : slowest_first(result)) {
    const NodeRates rates = rates_of(result, *node);
    nodes.push_back({{"path", node->path},
                     {"operator", node->name},
                     {"outputs", node->shape},
                     {"ms", node->seconds * 1e3},
                     {"share", rates.share},
                     {"flops", node->cost.flops},
                     {"bytes", node->cost.bytes},
                     {"gflops", rates.gflops},
                     {"gbytes_per_s", rates.gbytes},
                     {"of_roof", rates.of_roof},
                     {"best_ms_repeated", node->alone_s * 1e3}});
  }
  const Peaks& peaks = result.peaks;
  return text_of({{"machine", machine},
                  {"backend", result.backend},
                  {"precision", precision_name(result.precision)},
                  {"batch", result.batch},
                  {"steps", result.profiled_steps},
                  {"ms_per_step", result.profiled_s * 1e3},
                  {"peaks",
                   {{"gflops", peaks.gflops},
                    {"matrix_side", peaks.side},
                    {"gbytes_per_s", peaks.gbytes},
                    {"map_bytes", peaks.map_bytes},
                    {"best_of", peaks.runs}}},
                  {"nodes", nodes}},
                 2);
}

std::string trace_json(const BenchResult& result) {
  Json events = Json::array({name_event("process_name", kStepThread, "expgraph bench"),
                             name_event("thread_name", kStepThread, "step"),
                             name_event("thread_name", kNodeThread, "nodes")});
  events.push_back(complete_event("step", kStepThread, 0, result.last_profiled_s));
  for (const TimedNode& node : result.nodes) events.push_back(node_event(result, node));
  return text_of({{"displayTimeUnit", "ms"}, {"traceEvents", events}}, 1);
}

}  // namespace expgraph
