// check: a study, pipeline or network -> every variant expanded, edited, typed and differentiated,
// a line for each.
#include <fmt/ostream.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "core/host_network.h"
#include "core/pipeline.h"
#include "core/study/expectations.h"

namespace expgraph {
namespace {

struct Arguments {
  StudyArguments study;
  std::string input = "3x32x32";
  bool json = false;
};

std::string changes_text(const SpecDiff& changes) {
  std::string out;
  const auto add = [&](size_t count, std::string_view what) {
    if (count > 0) out += fmt::format("{}{} {}", out.empty() ? "" : ", ", count, what);
  };
  add(changes.added.size(), "added");
  add(changes.removed.size(), "removed");
  add(changes.changed.size(), "changed");
  add(changes.rewired.size(), "rewired");
  return out;
}

ExitCode check(const Arguments& arguments, Streams& streams) {
  const Study study = read_study(arguments.study);
  std::vector<std::vector<std::string>> rows{{"variant", "nodes", "against", "changes"}};
  nlohmann::ordered_json variants = nlohmann::ordered_json::array();
  for (const Variant& variant : study.variants) {
    const size_t nodes = in_variant(study, variant, [&](const FlatSpec& spec) {
      if (spec.is_network) {
        return host_network(spec, network_input(arguments.input)).graph.nodes().size();
      }
      const PipelineGraphs graphs = build_pipeline(spec);
      check_expectations(variant, graphs.train, graphs.test ? &*graphs.test : nullptr);
      make_step(graphs.train.forward, *graphs.train.training);
      return graphs.train.forward.nodes().size();
    });
    const SpecDiff& changes = variant.changes;
    rows.push_back({variant.name, std::to_string(nodes), variant.base, changes_text(changes)});
    variants.push_back({{"name", variant.name},
                        {"nodes", nodes},
                        {"base", variant.base},
                        {"added", changes.added.size()},
                        {"removed", changes.removed.size()},
                        {"changed", changes.changed.size()},
                        {"rewired", changes.rewired.size()}});
  }
  if (arguments.json) {
    print_json(streams,
               {{"study", study.name}, {"profile", study.profile}, {"variants", variants}});
  } else {
    fmt::print(streams.out, "{}", columns_text(rows, {false, true, false, false}));
  }
  return ExitCode::done;
}

}  // namespace

Action add_check(CLI::App& app, Streams& streams) {
  const auto arguments = std::make_shared<Arguments>();
  arguments->study.networks = true;
  add_study_arguments(app, arguments->study);
  add_input(app, arguments->input);
  add_json(app, arguments->json);
  return [arguments, &streams] { return check(*arguments, streams); };
}

}  // namespace expgraph
