// bench: a pipeline -> time of a training step, work, memory, and time by operator.
#include "core/bench.h"

#include <fmt/ostream.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "core/passes/precision.h"
#include "core/study/machine.h"
#include "core/study/table.h"

namespace expgraph {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  StudyArguments study;
  BenchOptions options;
  std::string backend = "onednn";
  bool json = false;
};

Json json_of(const BenchResult& result) {
  Json operators = Json::array();
  for (const OperatorTime& one : result.operators) {
    operators.push_back({{"name", one.name},
                         {"nodes", one.nodes},
                         {"seconds", one.seconds},
                         {"gflops", one.gflops}});
  }
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
          {"parameters", result.parameters},
          {"peak_rss_bytes", result.peak_rss_bytes},
          {"planned_bytes", result.planned_bytes},
          {"compile_s", result.compile_s},
          {"first_step_s", result.first_step_s},
          {"operators", operators}};
}

void print_text(std::ostream& out, const BenchResult& result) {
  fmt::print(out, "{:.1f} images/s on {} ({}, batch {})\n", result.images_per_second,
             result.backend, precision_name(result.precision), result.batch);
  fmt::print(out, "{:.2f} ms/step: median of {} steps, quartiles {:.2f} to {:.2f} ms\n",
             result.median_s * 1e3, result.steps, result.lower_s * 1e3, result.upper_s * 1e3);
  fmt::print(out, "{:.1f} GFLOP/s ({:.1f} GFLOP a step)\n", result.gflops,
             double(result.flops) * 1e-9);
  fmt::print(out, "{} peak memory of the process; {} planned for states, activations, inputs\n",
             bytes_text(result.peak_rss_bytes), bytes_text(result.planned_bytes));
  fmt::print(out, "{:.2f} s to compile, {:.2f} s for the first step\n", result.compile_s,
             result.first_step_s);
  if (result.operators.empty()) return;
  double total = 0;
  for (const OperatorTime& one : result.operators) total += one.seconds;
  std::vector<std::vector<std::string>> rows{{"operator", "nodes", "ms", "share", "GFLOP/s"}};
  for (const OperatorTime& one : result.operators) {
    rows.push_back({one.name, std::to_string(one.nodes), fmt::format("{:.2f}", one.seconds * 1e3),
                    fmt::format("{:.1f} %", one.seconds / total * 100),
                    fmt::format("{:.1f}", one.gflops)});
  }
  fmt::print(out, "\n{}", columns_text(rows, {false, true, true, true, true}));
}

ExitCode run_bench(const Arguments& arguments, Streams& streams) {
  const Variant variant = choose_variant(arguments.study);
  const BenchResult result =
      bench(variant.spec, load_backend(arguments.backend), arguments.options);
  fmt::print(streams.err, "note: {} samples of random bytes stand in for the data set\n",
             result.samples);
  if (arguments.json) {
    print_json(streams, json_of(result));
  } else {
    print_text(streams.out, result);
  }
  return ExitCode::done;
}

}  // namespace

Action add_bench(CLI::App& app, Streams& streams) {
  const auto arguments = std::make_shared<Arguments>();
  add_variant_arguments(app, arguments->study);
  app.add_option("--backend", arguments->backend, "onednn (default), libtorch or reference")
      ->type_name("NAME");
  app.add_option("--batch", arguments->options.batch, "samples a step (default: the pipeline's)")
      ->type_name("N")
      ->check(CLI::Range(1, 65536));
  app.add_option("--steps", arguments->options.steps, "steps that are timed (default: 20)")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--threads", arguments->options.threads, "threads of a step (default: all)")
      ->type_name("N")
      ->check(CLI::Range(0, 1024));
  add_json(app, arguments->json);
  return [arguments, &streams] { return run_bench(*arguments, streams); };
}

}  // namespace expgraph
