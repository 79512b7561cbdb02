// doctor: this machine -> what matters to a run: processor, memory, libraries, backends, data.
#include <fmt/ostream.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "core/backend.h"
#include "core/data/dataset.h"
#include "core/ir/op_schema.h"
#include "core/study/machine.h"
#include "core/support/amx.h"

namespace expgraph {
namespace {

struct Arguments {
  std::string data;
  bool json = false;
};

using Facts = std::vector<std::pair<std::string, std::string>>;

std::string vector_features() {
  std::vector<std::string_view> found;
  const auto add = [&](bool there, std::string_view name) {
    if (there) found.push_back(name);
  };
  add(__builtin_cpu_supports("avx2") != 0, "avx2");
  add(__builtin_cpu_supports("fma") != 0, "fma");
  add(__builtin_cpu_supports("avx512f") != 0, "avx512f");
  add(__builtin_cpu_supports("avx512bw") != 0, "avx512bw");
  add(__builtin_cpu_supports("avx512vnni") != 0, "avx512vnni");
  add(__builtin_cpu_supports("avx512bf16") != 0, "avx512bf16");
  return found.empty() ? "none of AVX2 and later" : fmt::format("{}", fmt::join(found, " "));
}

std::string matrix_features() {
  switch (amx()) {
    case Amx::none:
      return "no";
    case Amx::hidden:
      return amx_multiplies() ? "yes; its palette leaf is hidden, so libraries are kept from it"
                              : "reported, but its palette leaf is hidden: not used";
    case Amx::usable:
      return amx_multiplies() ? "yes" : "reported, but it does not work";
  }
  check_failed("what AMX is", __FILE__, __LINE__);
}

std::string dataset_text(const std::string& name, const std::string& path) {
  const OpSchema& schema = op("dataset");
  Attributes attributes;
  attributes.set("name", name);
  attributes.set("split", std::string("train"));
  try {
    const auto data =
        open_dataset(name, "train", complete_attributes(schema, attributes), {.path = path});
    return fmt::format("{}, {} training images", data->described, data->info.count);
  } catch (const Error& error) {
    return error.what();
  }
}

Facts examine(const Arguments& arguments) {
  Facts facts = machine_facts();
  facts.emplace_back("vector instructions", vector_features());
  facts.emplace_back("AMX", matrix_features());
  const std::vector<std::string> backends = backend_names();
  for (const std::string& name : backends) {
    facts.emplace_back("backend " + name, backend_text(name));
  }
  if (backends.empty()) facts.emplace_back("backends", "none beside the program");
  const char* place = std::getenv("EXPGRAPH_DATA");
  const std::string path = arguments.data.empty() && place != nullptr ? place : arguments.data;
  for (const std::string& name : dataset_names()) {
    facts.emplace_back("data " + name, dataset_text(name, path));
  }
  return facts;
}

ExitCode doctor(const Arguments& arguments, Streams& streams) {
  const Facts facts = examine(arguments);
  if (arguments.json) {
    nlohmann::ordered_json json;
    for (const auto& [name, value] : facts) json[name] = value;
    print_json(streams, json);
    return ExitCode::done;
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& [name, value] : facts) rows.push_back({name, value});
  fmt::print(streams.out, "{}", columns_text(rows, {false, false}));
  return ExitCode::done;
}

}  // namespace

Action add_doctor(CLI::App& app, Streams& streams) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("--data", arguments->data, "where the data lies (default: $EXPGRAPH_DATA)")
      ->type_name("PATH");
  add_json(app, arguments->json);
  return [arguments, &streams] { return doctor(*arguments, streams); };
}

}  // namespace expgraph
