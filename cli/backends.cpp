// backends: the modules that are there -> what they are and which operators each runs.
#include <fmt/ostream.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "core/backend.h"
#include "core/ir/op_schema.h"

namespace expgraph {
namespace {

struct Arguments {
  bool json = false;
};

/// Operators that are part of a program: not the data set, the schedule, the optimiser, ...
std::vector<const OpSchema*> program_ops() {
  std::vector<const OpSchema*> out;
  for (const OpSchema* schema : all_ops()) {
    const OpRole role = schema->role;
    const bool runs = role == OpRole::compute || role == OpRole::sample || role == OpRole::metric;
    if (runs) out.push_back(schema);
  }
  return out;
}

void print_table(Streams& streams, const std::vector<const Backend*>& backends) {
  for (const Backend* backend : backends) {
    fmt::print(streams.out, "{}: {}\n", backend->name(), backend_text(backend->name()));
  }
  std::vector<std::vector<std::string>> rows{{"operator"}};
  for (const Backend* backend : backends) rows[0].push_back(backend->name());
  for (const OpSchema* schema : program_ops()) {
    rows.push_back({std::string(schema->name)});
    for (const Backend* backend : backends) {
      rows.back().emplace_back(backend->supports(*schema) ? "yes" : "no");
    }
  }
  fmt::print(streams.out, "\n{}", columns_text(rows, std::vector<bool>(rows[0].size(), false)));
}

void print_list(Streams& streams, const std::vector<const Backend*>& backends) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Backend* backend : backends) {
    std::vector<std::string_view> runs;
    for (const OpSchema* schema : program_ops()) {
      if (backend->supports(*schema)) runs.push_back(schema->name);
    }
    list.push_back({{"name", backend->name()},
                    {"description", backend_text(backend->name())},
                    {"operators", runs}});
  }
  print_json(streams, {{"backends", list}});
}

ExitCode backends(const Arguments& arguments, Streams& streams) {
  std::vector<const Backend*> loaded;
  for (const std::string& name : backend_names()) loaded.push_back(&load_backend(name));
  if (loaded.empty()) {
    throw Error("there is no backend beside the program", {}, ExitCode::environment);
  }
  arguments.json ? print_list(streams, loaded) : print_table(streams, loaded);
  return ExitCode::done;
}

}  // namespace

Action add_backends(CLI::App& app, Streams& streams) {
  const auto arguments = std::make_shared<Arguments>();
  add_json(app, arguments->json);
  return [arguments, &streams] { return backends(*arguments, streams); };
}

}  // namespace expgraph
