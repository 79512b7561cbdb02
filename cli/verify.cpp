// verify: a pipeline and two backends -> how far their trainings are apart after a few steps.
#include <fmt/ostream.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "core/verify_backends.h"

namespace expgraph {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  StudyArguments study;
  std::vector<std::string> backends{"reference", "onednn"};
  VerifyOptions options;
  std::string data;
  double tolerance = 0;
  bool json = false;
};

Json json_of(const std::vector<Difference>& list) {
  Json out = Json::array();
  for (const Difference& one : list) {
    out.push_back({{"name", one.name},
                   {"absolute", one.absolute},
                   {"relative", one.relative},
                   {"chaos", one.chaos}});
  }
  return out;
}

void print_text(Streams& streams, const BackendDifferences& found) {
  constexpr size_t kShown = 8;
  std::vector<std::vector<std::string>> rows{{"", "absolute", "relative", "last bit"}};
  const auto add = [&](const Difference& one) {
    rows.push_back({one.name, fmt::format("{:.2e}", one.absolute),
                    fmt::format("{:.2e}", one.relative), fmt::format("{:.2e}", one.chaos)});
  };
  add(found.losses.front());
  if (found.losses.size() > 1) add(found.losses.back());
  for (size_t k = 0; k < std::min(kShown, found.states.size()); ++k) add(found.states[k]);
  fmt::print(streams.out, "{}", columns_text(rows, {false, true, true, true}));
  if (found.states.size() > kShown) {
    fmt::print(streams.out, "and {} states that differ less\n", found.states.size() - kShown);
  }
  fmt::print(
      streams.out,
      "{0} and {1} after {2} steps: largest relative difference {3:.2e}; {1} with the last bit "
      "of its start weights changed differs from itself by {4:.2e}\n",
      found.a, found.b, found.losses.size(), found.worst(), found.worst_chaos());
}

ExitCode verify_pipeline(const Arguments& arguments, Streams& streams) {
  if (arguments.backends.size() != 2) {
    throw Error(fmt::format("--backends wants two names, as in reference,onednn, got {}",
                            arguments.backends.size()),
                {}, ExitCode::usage);
  }
  const Variant variant = choose_variant(arguments.study);
  const char* place = std::getenv("EXPGRAPH_DATA");
  OpenDatasets datasets(
      {.path = arguments.data.empty() && place != nullptr ? place : arguments.data});
  const BackendDifferences found =
      verify_backends(variant.spec, load_backend(arguments.backends[0]),
                      load_backend(arguments.backends[1]), datasets, arguments.options);
  const double worst = found.worst();
  const bool agree =
      !std::isnan(worst) && (arguments.tolerance == 0 || worst <= arguments.tolerance);
  if (arguments.json) {
    print_json(streams, {{"backends", {found.a, found.b}},
                         {"steps", found.losses.size()},
                         {"worst_relative", worst},
                         {"worst_chaos", found.worst_chaos()},
                         {"agree", agree},
                         {"losses", json_of(found.losses)},
                         {"states", json_of(found.states)}});
  } else {
    print_text(streams, found);
  }
  return agree ? ExitCode::done : ExitCode::run_failed;
}

}  // namespace

Action add_verify(CLI::App& app, Streams& streams) {
  const auto arguments = std::make_shared<Arguments>();
  add_variant_arguments(app, arguments->study);
  app.add_option("--backends", arguments->backends, "the two (default: reference,onednn)")
      ->type_name("A,B")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--steps", arguments->options.steps, "training steps (default: 20)")
      ->type_name("K")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--seed", arguments->options.seed, "of start values, order and choices")
      ->type_name("N");
  app.add_option("--threads", arguments->options.threads, "threads of a step (default: all)")
      ->type_name("N")
      ->check(CLI::Range(0, 1024));
  app.add_option("--tolerance", arguments->tolerance, "exit 1 when a relative difference is larger")
      ->type_name("X")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--data", arguments->data, "where the data lies (default: $EXPGRAPH_DATA)")
      ->type_name("PATH");
  add_json(app, arguments->json);
  return [arguments, &streams] { return verify_pipeline(*arguments, streams); };
}

}  // namespace expgraph
