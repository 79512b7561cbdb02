// check: a study or pipeline -> every variant expanded, edited and typed, a line for each.
#include <fmt/ostream.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "core/pipeline.h"

namespace expgraph {
namespace {

struct Arguments {
  StudyArguments study;
  bool json = false;
};

ExitCode check(const Arguments& arguments, Streams& streams) {
  const Study study = read_study(arguments.study);
  nlohmann::ordered_json variants = nlohmann::ordered_json::array();
  for (const Variant& variant : study.variants) {
    const PipelineGraphs graphs = build_variant(variant);
    const size_t nodes = graphs.train.forward.nodes().size();
    if (arguments.json) {
      variants.push_back({{"name", variant.name}, {"nodes", nodes}});
    } else {
      fmt::print(streams.out, "{}: {} nodes\n", variant.name, nodes);
    }
  }
  if (arguments.json) {
    print_json(streams, {{"study", study.name}, {"variants", variants}});
  }
  return ExitCode::done;
}

}  // namespace

Action add_check(CLI::App& app, Streams& streams) {
  const auto arguments = std::make_shared<Arguments>();
  add_study_arguments(app, arguments->study);
  add_json(app, arguments->json);
  return [arguments, &streams] { return check(*arguments, streams); };
}

}  // namespace expgraph
