// bench_text: what bench has measured -> the words, tables and JSON that it prints or writes.
#include "cli/bench_text.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "core/bench/profile_files.h"
#include "core/passes/precision.h"
#include "core/study/machine.h"
#include "core/study/table.h"

namespace expgraph {
namespace {

using Json = nlohmann::ordered_json;
using Rows = std::vector<std::vector<std::string>>;

double percent(double part, double whole) { return part / whole * 100; }

std::string speed_text(const BenchResult& result) {
  return fmt::format("{:.1f} images/s on {} ({}, batch {})\n", result.images_per_second,
                     result.backend, precision_name(result.precision), result.batch) +
         fmt::format("{:.2f} ms/step: median of {} steps, quartiles {:.2f} to {:.2f} ms\n",
                     result.median_s * 1e3, result.steps, result.lower_s * 1e3,
                     result.upper_s * 1e3) +
         fmt::format("{:.1f} GFLOP/s ({:.1f} GFLOP a step)\n", result.gflops,
                     double(result.flops) * 1e-9);
}

std::string limits_text(const BenchResult& result) {
  const Peaks& peaks = result.peaks;
  std::string text = fmt::format(
      "  {:.1f} % of the machine's peak: {:.1f} GFLOP/s (product of {} x {} matrices, best of "
      "{})\n",
      percent(result.gflops, peaks.gflops), peaks.gflops, peaks.side, peaks.side, peaks.runs);
  if (const double alone = result.alone_gflops(); alone > 0) {
    text += fmt::format(
        "  {:.1f} % of what its convolutions and matrix products give alone: {:.1f} GFLOP/s "
        "(best of {})\n",
        percent(result.gflops, alone), alone, kRepeats);
  }
  return text +
         fmt::format("  {:.1f} % of the step's time is outside of these\n",
                     result.outside_products() * 100) +
         fmt::format("memory gives {:.1f} GB/s (sum of two maps of {}, best of {})\n", peaks.gbytes,
                     bytes_text(peaks.map_bytes), peaks.runs);
}

std::string memory_text(const BenchResult& result) {
  const PlannedMemory& planned = result.planned;
  const SideMemory& side = planned.side;
  const double share = percent(double(planned.total()), double(result.peak_rss_bytes));
  return fmt::format("{} peak memory of the process, {} planned ({:+.1f} %):\n",
                     bytes_text(result.peak_rss_bytes), bytes_text(planned.total()), share - 100) +
         fmt::format("  {} states, {} the step, {} batches, {} making them, {} samples\n",
                     bytes_text(side.states), bytes_text(side.step), bytes_text(side.batches),
                     bytes_text(side.feed), bytes_text(side.samples + planned.data)) +
         fmt::format("  measured: {} code and libraries, {} before the program was compiled\n",
                     bytes_text(planned.code), bytes_text(planned.before));
}

std::string start_text(const BenchResult& result) {
  return fmt::format("{:.2f} s to compile, {:.2f} s for the first step\n", result.compile_s,
                     result.first_step_s) +
         fmt::format(
             "  {:.2f} s from the start of the process to its end, {:.2f} s more than a "
             "median step\n",
             result.first_done_s, result.first_done_s - result.median_s);
}

std::string operators_text(const BenchResult& result) {
  double total = 0;
  for (const OperatorTime& one : result.operators) total += one.seconds;
  Rows rows{{"operator", "nodes", "ms", "share", "GFLOP/s"}};
  for (const OperatorTime& one : result.operators) {
    rows.push_back({one.name, std::to_string(one.nodes), fmt::format("{:.2f}", one.seconds * 1e3),
                    fmt::format("{:.1f} %", percent(one.seconds, total)),
                    fmt::format("{:.1f}", one.gflops)});
  }
  return columns_text(rows, {false, true, true, true, true});
}

}  // namespace

std::string bench_text(const BenchResult& result) {
  return speed_text(result) + limits_text(result) + memory_text(result) + start_text(result) +
         "\n" + operators_text(result);
}

std::string nodes_text(const BenchResult& result) {
  Rows rows{{"node", "operator", "outputs", "ms", "share", "GFLOP/s", "GB/s", "of roof"}};
  for (const TimedNode* node : slowest_first(result)) {
    const NodeRates rates = rates_of(result, *node);
    rows.push_back({node->path, node->name, node->shape, fmt::format("{:.3f}", node->seconds * 1e3),
                    fmt::format("{:.1f} %", rates.share * 100), fmt::format("{:.1f}", rates.gflops),
                    fmt::format("{:.1f}", rates.gbytes),
                    fmt::format("{:.0f} %", rates.of_roof * 100)});
  }
  return columns_text(rows, {false, false, false, true, true, true, true, true});
}

Json bench_json(const BenchResult& result) {
  Json operators = Json::array();
  for (const OperatorTime& one : result.operators) {
    operators.push_back({{"name", one.name},
                         {"nodes", one.nodes},
                         {"seconds", one.seconds},
                         {"gflops", one.gflops}});
  }
  const PlannedMemory& planned = result.planned;
  const Peaks& peaks = result.peaks;
  return {{"backend", result.backend},
          {"machine", machine_name()},
          {"precision", precision_name(result.precision)},
          {"batch", result.batch},
          {"steps", result.steps},
          {"samples_generated", result.samples},
          {"images_per_second", result.images_per_second},
          {"ms_per_step", result.median_s * 1e3},
          {"ms_per_step_quartiles", {result.lower_s * 1e3, result.upper_s * 1e3}},
          {"gflops", result.gflops},
          {"gflop_per_step", double(result.flops) * 1e-9},
          {"products_alone_gflops", result.alone_gflops()},
          {"outside_products", result.outside_products()},
          {"peak_gflops", peaks.gflops},
          {"peak_gbytes_per_s", peaks.gbytes},
          {"parameters", result.parameters},
          {"peak_rss_bytes", result.peak_rss_bytes},
          {"planned_bytes", planned.total()},
          {"planned",
           {{"code", planned.code},
            {"process_before", planned.before},
            {"states", planned.side.states},
            {"step", planned.side.step},
            {"batches", planned.side.batches},
            {"feed", planned.side.feed},
            {"samples", planned.side.samples + planned.data}}},
          {"compile_s", result.compile_s},
          {"first_step_s", result.first_step_s},
          {"first_step_done_s", result.first_done_s},
          {"operators", operators}};
}

}  // namespace expgraph
