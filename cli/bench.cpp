// bench: a pipeline -> time of a training step, work, memory, time by operator; and by node, as
// files of a folder.
#include "core/bench.h"

#include <fmt/ostream.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/bench_text.h"
#include "cli/commands.h"
#include "core/bench/profile_files.h"
#include "core/choose_precision.h"
#include "core/study/machine.h"
#include "core/support/fs.h"
#include "viz/roofline.h"

namespace expgraph {
namespace {

struct Arguments {
  StudyArguments study;
  BenchOptions options{.limits = true};
  std::string backend = "onednn";
  std::string folder;  ///< for the profile; empty: none
  bool json = false;
};

/// Before anything is timed: the folder is there and takes files.
void open_folder(const Study& study, const std::string& folder) {
  if (std::ranges::count(study.profiles, folder) > 0) {
    throw Error(fmt::format("'{}' is a profile of the study, --profile wants a folder", folder), {},
                ExitCode::usage)
        .note(fmt::format("--study-profile {} chooses it", folder));
  }
  system_fs().make_folder(folder);
  const std::string probe = folder + "/trace.json.part";
  write_file(probe, "");
  system_fs().remove(probe);
}

void write_profile(const std::string& folder, const std::string& title, const BenchResult& result) {
  write_file(folder + "/trace.json", trace_json(result));
  write_file(folder + "/profile.json", profile_json(result, machine_name()));
  write_file(folder + "/profile.txt", nodes_text(result));
  write_file(folder + "/roofline.svg", roofline_svg(result, title));
}

ExitCode run_bench(const Arguments& arguments, Streams& streams) {
  const Study study = one_variant(arguments.study);
  Variant variant = study.variants.back();
  if (!arguments.folder.empty()) open_folder(study, arguments.folder);
  const Backend& backend = load_backend(arguments.backend);
  if (const auto choice = choose_precision(variant.spec, backend, arguments.options.threads)) {
    fmt::print(streams.err, "note: precision auto: {}; {}\n", choice->name, choice->text);
    variant.spec = in_precision(std::move(variant.spec), choice->name);
  }
  const BenchResult result = bench(variant.spec, backend, arguments.options);
  if (!arguments.folder.empty()) {
    write_profile(arguments.folder,
                  fmt::format("{}, batch {}, on {}, {}", variant.name, result.batch, result.backend,
                              machine_name()),
                  result);
  }
  fmt::print(streams.err, "note: {} samples of random bytes stand in for the data set\n",
             result.samples);
  if (arguments.json) {
    print_json(streams, bench_json(result));
  } else {
    fmt::print(streams.out, "{}", bench_text(result));
  }
  return ExitCode::done;
}

}  // namespace

Action add_bench(CLI::App& app, Streams& streams) {
  const auto arguments = std::make_shared<Arguments>();
  add_variant_arguments(app, arguments->study, "--study-profile");
  app.add_option("--profile", arguments->folder,
                 "folder for trace.json, roofline.svg, profile.json and profile.txt, by node")
      ->type_name("DIR");
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
