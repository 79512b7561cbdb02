// show: a variant -> its complete YAML, or the text of a stage of its compilation.
#include <fmt/ostream.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "cli/commands.h"
#include "core/compile.h"
#include "core/ir/op_schema.h"
#include "core/spec/explain.h"
#include "core/support/suggest.h"
#include "viz/dot.h"
#include "viz/drawings.h"
#include "viz/graph_picture.h"

namespace expgraph {
namespace {

struct Arguments {
  StudyArguments study;
  std::string backend = "onednn";
  std::string stage;
  std::string dump;
  std::string explain;
  bool graph = false, stages = false;
};

struct Shown {
  std::string name, text;
  std::string dot;  ///< "" where nothing changed
  bool changed = true;
};

/// Every stage of the walk, in order.
std::vector<Shown> stages_of(const Variant& variant, const std::string& backend) {
  std::vector<Shown> stages;
  const auto keep = [&](const Stage& stage) {
    Shown shown{.name = stage.name, .text = stage.text, .dot = "", .changed = stage.changed};
    if (stage.graph == nullptr) {
      shown.dot = to_dot(pipeline_picture(variant.spec, stage.name));
    } else if (stage.changed) {
      shown.dot = to_dot(graph_picture(*stage.graph, stage.name));
    }
    stages.push_back(std::move(shown));
  };
  compile_pipeline(variant.spec, {.backend = backend, .dump = keep});
  return stages;
}

const Shown& find_stage(const std::vector<Shown>& stages, const std::string& wanted) {
  std::vector<std::string> names;
  for (const Shown& stage : stages) {
    if (stage.name == wanted) return stage;
    names.push_back(stage.name);
  }
  Error error(fmt::format("there is no stage '{}'", wanted), {}, ExitCode::usage);
  const std::string hint = did_you_mean(wanted, names);
  throw error.note(hint.empty() ? "'--stages' lists them" : hint);
}

/// Numbered files, a stage each: its text and, where it changed anything, its drawing.
void dump(const std::vector<Shown>& stages, const std::string& folder) {
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  for (size_t i = 0; i < stages.size(); ++i) {
    std::string name = stages[i].name;
    std::replace(name.begin(), name.end(), '/', '-');
    const std::string path = fmt::format("{}/{:02}-{}", folder, i, name);
    write_file(path + ".txt", stages[i].text);
    if (!stages[i].dot.empty()) write_file(path + ".dot", stages[i].dot);
  }
}

/// "train/batch.size" -> its value and what gave it.
std::string explained(const FlatSpec& spec, const std::string& name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string::npos || dot == 0 || dot + 1 == name.size()) {
    throw Error(fmt::format("--explain wants PATH.attribute, got '{}'", name), {}, ExitCode::usage);
  }
  const std::string path = name.substr(0, dot), attribute = name.substr(dot + 1);
  const SpecNode* node = spec.find(path);
  if (node == nullptr) {
    std::vector<std::string> paths;
    for (const SpecNode& other : spec.nodes) paths.push_back(other.path);
    Error error(fmt::format("there is no node '{}'", path), {}, ExitCode::usage);
    const std::string hint = did_you_mean(path, paths);
    throw hint.empty() ? error : error.note(hint);
  }
  if (const AttributeSpec* given = node->find(attribute)) {
    return fmt::format("{}: {}\n{}{}", name, yaml::to_text(given->value), explain(*given),
                       explain_chain(*node));
  }
  const OpSchema* schema = node->is_group ? nullptr : &op(node->op);
  const AttributeSchema* known = schema == nullptr ? nullptr : schema->find_attribute(attribute);
  if (known == nullptr) {
    std::vector<std::string> names;
    for (const AttributeSpec& other : node->attributes) names.push_back(other.name);
    if (schema != nullptr) {
      for (const AttributeSchema& other : schema->attributes) names.emplace_back(other.name);
    }
    Error error(fmt::format("'{}' ({}) has no attribute '{}'", path,
                            node->is_group ? "a group" : node->op, attribute),
                node->where, ExitCode::usage);
    const std::string hint = did_you_mean(attribute, names);
    throw hint.empty() ? error : error.note(hint);
  }
  const std::string value = known->fallback ? to_text(*known->fallback) : "not given";
  return fmt::format("{}: {}\n  {}: default of operator '{}'\n{}", name, value, node->where.str(),
                     node->op, explain_chain(*node));
}

ExitCode show(const Arguments& arguments, Streams& streams) {
  const Variant variant = choose_variant(arguments.study);
  const bool compiles =
      arguments.graph || arguments.stages || !arguments.stage.empty() || !arguments.dump.empty();
  if (!arguments.explain.empty()) {
    fmt::print(streams.out, "{}", explained(variant.spec, arguments.explain));
    return ExitCode::done;
  }
  if (!compiles) {
    fmt::print(streams.out, "{}", to_yaml(variant.spec));
    return ExitCode::done;
  }
  if (arguments.graph) {
    const CompiledPipeline compiled =
        compile_pipeline(variant.spec, {.backend = arguments.backend});
    fmt::print(streams.out, "{}", to_text(compiled.train.step.graph));
    return ExitCode::done;
  }
  const std::vector<Shown> stages = stages_of(variant, arguments.backend);
  if (!arguments.dump.empty()) dump(stages, arguments.dump);
  if (arguments.stages) {
    for (const Shown& stage : stages) {
      fmt::print(streams.out, "{}{}\n", stage.name, stage.changed ? "" : " (unchanged)");
    }
  }
  if (!arguments.stage.empty()) {
    fmt::print(streams.out, "{}", find_stage(stages, arguments.stage).text);
  }
  return ExitCode::done;
}

}  // namespace

Action add_show(CLI::App& app, Streams& streams) {
  const auto arguments = std::make_shared<Arguments>();
  arguments->study.networks = true;
  add_variant_arguments(app, arguments->study);
  app.add_option("--backend", arguments->backend, "onednn (default), libtorch or reference")
      ->type_name("NAME");
  app.add_flag("--graph", arguments->graph,
               "the training step as it is run: forward, backward, "
               "update");
  app.add_flag("--stages", arguments->stages, "names of the stages of compilation");
  app.add_option("--stage", arguments->stage, "the text of one stage")->type_name("NAME");
  app.add_option("--dump", arguments->dump, "writes every stage into a folder, as text and DOT")
      ->type_name("FOLDER");
  app.add_option("--explain", arguments->explain,
                 "which lines, parameters and edits gave an attribute its value")
      ->type_name("PATH.ATTRIBUTE");
  return [arguments, &streams] { return show(*arguments, streams); };
}

}  // namespace expgraph
