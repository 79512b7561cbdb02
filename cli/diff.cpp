// diff: two pipelines or variants -> what was added, removed, changed and rewired, by path.
#include <fmt/ostream.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "core/spec/spec_diff.h"

namespace expgraph {
namespace {

struct Arguments {
  StudyArguments before, after;
  bool json = false;
};

void print_paths(std::ostream& out, std::string_view title, const std::vector<std::string>& paths) {
  if (paths.empty()) return;
  fmt::print(out, "{}:\n", title);
  for (const std::string& path : paths) fmt::print(out, "  - {}\n", path);
}

void print_text(std::ostream& out, const SpecDiff& difference) {
  if (difference.empty()) fmt::print(out, "no difference\n");
  print_paths(out, "removed", difference.removed);
  print_paths(out, "added", difference.added);
  if (!difference.attributes.empty()) fmt::print(out, "changed:\n");
  for (const auto& change : difference.attributes) {
    fmt::print(out, "  {}.{}: {} → {}\n", change.path, change.attribute,
               change.before.empty() ? "(not given)" : change.before,
               change.after.empty() ? "(not given)" : change.after);
  }
  print_paths(out, "rewired", difference.rewired);
}

nlohmann::ordered_json json_of(const SpecDiff& difference) {
  nlohmann::ordered_json attributes = nlohmann::ordered_json::array();
  for (const auto& change : difference.attributes) {
    attributes.push_back({{"path", change.path},
                          {"attribute", change.attribute},
                          {"before", change.before},
                          {"after", change.after}});
  }
  return {{"removed", difference.removed},
          {"added", difference.added},
          {"changed", difference.changed},
          {"attributes", attributes},
          {"rewired", difference.rewired}};
}

ExitCode compare(Arguments arguments, Streams& streams) {
  if (arguments.after.file.starts_with(':')) {
    const std::string& before = arguments.before.file;
    arguments.after.file = before.substr(0, before.rfind(':')) + arguments.after.file;
  }
  arguments.after.profile = arguments.before.profile;
  arguments.after.set = arguments.before.set;
  const Variant before = choose_variant(arguments.before);
  const Variant after = choose_variant(arguments.after);
  const SpecDiff difference = diff(before.spec, after.spec);
  if (arguments.json) {
    print_json(streams, json_of(difference));
  } else {
    print_text(streams.out, difference);
  }
  return ExitCode::done;
}

}  // namespace

Action add_diff(CLI::App& app, Streams& streams) {
  const auto arguments = std::make_shared<Arguments>();
  add_variant_arguments(app, arguments->before);
  app.add_option("OTHER", arguments->after.file,
                 "the same; ':VARIANT' is another of the same study")
      ->required();
  add_json(app, arguments->json);
  return [arguments, &streams] { return compare(*arguments, streams); };
}

}  // namespace expgraph
