// ops: operator records -> a list by family, or the help on one.
#include <fmt/ostream.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "core/ops/document.h"
#include "core/support/suggest.h"

namespace expgraph {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  std::string name;
  bool all = false, json = false;
};

Json json_of(const std::vector<DocumentRow>& rows) {
  Json out = Json::array();
  for (const DocumentRow& row : rows) {
    out.push_back({{"name", row.name}, {"kind", row.kind}, {"note", row.note}, {"doc", row.doc}});
  }
  return out;
}

Json json_of(const OperatorDocument& op) {
  return {{"name", op.name},
          {"family", op.family},
          {"role", op.role},
          {"doc", op.doc},
          {"internal", op.internal},
          {"differentiable", op.differentiable},
          {"evaluation_op", op.evaluation_op},
          {"inputs", json_of(op.inputs)},
          {"outputs", json_of(op.outputs)},
          {"attributes", json_of(op.attributes)},
          {"example", op.example}};
}

const OpSchema& find_operator(const std::string& name) {
  if (const OpSchema* found = find_op(name)) return *found;
  std::vector<std::string> names;
  for (const OpSchema* schema : all_ops()) names.emplace_back(schema->name);
  Error error(fmt::format("unknown operator '{}'", name), {}, ExitCode::usage);
  const std::string hint = did_you_mean(name, names);
  throw error.note(hint.empty() ? "'expgraph ops' lists them" : hint);
}

/// The first sentence, cut to so many characters.
std::string summary(std::string_view doc, size_t columns) {
  std::string text(doc.substr(0, std::min(doc.find(". "), doc.find('\n'))));
  if (text.ends_with('.')) text.pop_back();
  if (text.size() <= columns) return text;
  text.resize(text.rfind(' ', columns - 1));
  return text + " …";
}

void print_list(Streams& streams, bool all) {
  constexpr size_t kBefore = 40;  // columns of family and name, at most
  const size_t columns = std::max<size_t>(static_cast<size_t>(streams.width), 80) - kBefore;
  std::vector<std::vector<std::string>> rows;
  std::string_view family;
  for (const OpSchema* schema : all_ops()) {
    if (schema->internal && !all) continue;
    const bool first = schema->family != family;
    family = schema->family;
    rows.push_back({first ? std::string(family) : "", std::string(schema->name),
                    summary(schema->doc, columns)});
  }
  fmt::print(streams.out, "{}\n'expgraph ops NAME' tells inputs, outputs and attributes.\n",
             columns_text(rows, {false, false, false}));
}

ExitCode ops(const Arguments& arguments, Streams& streams) {
  if (!arguments.name.empty()) {
    const OpSchema& schema = find_operator(arguments.name);
    if (arguments.json) {
      print_json(streams, json_of(describe(schema)));
    } else {
      fmt::print(streams.out, "{}", operator_help(schema));
    }
  } else if (arguments.json) {
    Json list = Json::array();
    for (const OpSchema* schema : all_ops()) {
      if (arguments.all || !schema->internal) list.push_back(json_of(describe(*schema)));
    }
    print_json(streams, {{"operators", list}});
  } else {
    print_list(streams, arguments.all);
  }
  return ExitCode::done;
}

}  // namespace

Action add_ops(CLI::App& app, Streams& streams) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("NAME", arguments->name, "an operator");
  app.add_flag("--all", arguments->all, "those that only the compiler makes, too");
  add_json(app, arguments->json);
  return [arguments, &streams] { return ops(*arguments, streams); };
}

}  // namespace expgraph
