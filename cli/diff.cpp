// diff: two pipelines, networks, variants or runs -> the edits that turn the one into the other, as
// YAML or as a drawing.
#include <fmt/ostream.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "core/host_network.h"
#include "core/pipeline.h"
#include "core/spec/spec_diff.h"
#include "core/spec/spec_edits.h"
#include "viz/dot.h"
#include "viz/drawings.h"
#include "viz/svg.h"

namespace expgraph {
namespace {

struct Arguments {
  StudyArguments before, after;
  std::string output;
  std::string input = "3x32x32";
  bool json = false;
};

nlohmann::ordered_json json_of(const SpecDiff& difference, const SpecEdits& edits) {
  nlohmann::ordered_json attributes = nlohmann::ordered_json::array();
  for (const auto& change : difference.attributes) {
    attributes.push_back({{"path", change.path},
                          {"attribute", change.attribute},
                          {"before", change.before},
                          {"after", change.after}});
  }
  return {{"removed", difference.removed}, {"added", difference.added},
          {"changed", difference.changed}, {"attributes", attributes},
          {"rewired", difference.rewired}, {"edits", edits.text}};
}

void check_kinds(const Variant& before, const Variant& after) {
  if (before.spec.is_network == after.spec.is_network) return;
  const auto kind = [](const Variant& one) { return one.spec.is_network ? "network" : "pipeline"; };
  throw Error(
      fmt::format("'{}' is a {}, '{}' is a {}", before.name, kind(before), after.name, kind(after)),
      {}, ExitCode::usage);
}

ExitCode compare(Arguments arguments, Streams& streams) {
  if (arguments.after.file.starts_with(':')) {
    const std::string& before = arguments.before.file;
    arguments.after.file = before.substr(0, before.rfind(':')) + arguments.after.file;
  }
  arguments.after.networks = arguments.before.networks;
  arguments.after.profile = arguments.before.profile;
  arguments.after.set = arguments.before.set;
  const Variant before = choose_variant(arguments.before);
  const Variant after = choose_variant(arguments.after);
  check_kinds(before, after);
  if (!arguments.output.empty()) {
    const std::string title = fmt::format("{} → {}", before.title, after.title);
    const TensorType input = network_input(arguments.input);
    write_drawing(arguments.output, edit_picture(before.spec, after.spec, title, input));
    return ExitCode::done;
  }
  const SpecEdits edits = edits_between(before.spec, after.spec, op_names());
  if (arguments.json) {
    print_json(streams, json_of(diff(before.spec, after.spec), edits));
  } else {
    fmt::print(streams.out, "{}", edits.text.empty() ? "no difference\n" : edits.text);
  }
  return ExitCode::done;
}

}  // namespace

Action add_diff(CLI::App& app, Streams& streams) {
  const auto arguments = std::make_shared<Arguments>();
  arguments->before.networks = true;
  add_variant_arguments(app, arguments->before);
  app.add_option("OTHER", arguments->after.file,
                 "the same; ':VARIANT' is another of the same study")
      ->required();
  app.add_option("-o,--output", arguments->output, "draws it: a file that ends in .svg or .dot")
      ->type_name("FILE");
  add_input(app, arguments->input);
  add_json(app, arguments->json);
  return [arguments, &streams] { return compare(*arguments, streams); };
}

}  // namespace expgraph
