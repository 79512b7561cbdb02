// graph_spec: a pipeline or network document -> a FlatSpec.
#include "core/spec/graph_spec.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/spec/documents.h"
#include "core/spec/expand.h"
#include "core/spec/paths.h"
#include "core/support/suggest.h"

namespace expgraph {
namespace {

/// A pipeline as far as its parameters go; its nodes are in `train` and `test`.
Block pipeline_block(Library& library, const yaml::Value& document) {
  yaml::expect_keys(document, {"pipeline", "note", "params", "blocks", "train", "test"},
                    "a pipeline file");
  const yaml::Value& name = *document.find("pipeline");
  return {.label = fmt::format("pipeline '{}'", yaml::require_text(name, "'pipeline'")),
          .where = name.where,
          .params = document.find("params"),
          .scope = &library.scope(document)};
}

FlatSpec expand_pipeline(Library& library, const yaml::Value& document,
                         const Parameters& parameters, const OpNames& ops) {
  const Block block = pipeline_block(library, document);
  FlatSpec spec;
  spec.name = document.find("pipeline")->scalar;
  Frame frame;
  frame.scope = block.scope;
  frame.bindings = Expander::bind(block, parameters, block.where, frame.used);
  Expander expander(library, ops);
  if (document.find("train") == nullptr) {
    throw Error("a pipeline file needs the key 'train'", block.where);
  }
  for (const yaml::Entry& entry : document.entries) {
    if (entry.key == "train" || entry.key == "test") expander.expand_side(entry, frame);
  }
  Expander::check_used(block, frame.used);
  spec.nodes = expander.take();
  return spec;
}

FlatSpec expand_network(Library& library, const Block& block, const std::string& name,
                        const Parameters& parameters, const OpNames& ops) {
  FlatSpec spec;
  spec.name = name;
  spec.is_network = true;
  Frame frame;
  frame.scope = block.scope;
  frame.bindings = Expander::bind(block, parameters, block.where, frame.used);
  Expander expander(library, ops);
  spec.output = expander.expand_root(*block.nodes, block.output, block.where, frame);
  Expander::check_used(block, frame.used);
  spec.nodes = expander.take();
  return spec;
}

}  // namespace

FlatSpec expand_document(Library& library, const std::string& path, const Location& asked_at,
                         const Parameters& parameters, const OpNames& ops) {
  const yaml::Value& document = library.file(path, asked_at);
  yaml::require_mapping(document, fmt::format("'{}'", path));
  FlatSpec spec;
  if (document.find("pipeline") != nullptr) {
    spec = expand_pipeline(library, document, parameters, ops);
  } else if (const yaml::Value* name = document.find("network")) {
    spec = expand_network(library, library.network(path, asked_at),
                          yaml::require_text(*name, "'network'"), parameters, ops);
  } else {
    throw Error("expected a file with the key 'pipeline' or 'network'", document.where);
  }
  check_references(spec, ops);
  return spec;
}

Bindings document_bindings(Library& library, const std::string& path, const Location& asked_at,
                           const Parameters& parameters) {
  const Block block = pipeline_block(library, library.file(path, asked_at));
  std::set<std::string> used;
  return Expander::bind(block, parameters, block.where, used);
}

FlatSpec expand_file(const std::string& path, const Parameters& parameters, const OpNames& ops,
                     const Location& asked_at) {
  Library library;
  return expand_document(library, path, asked_at, parameters, ops);
}

FlatSpec expand_text(std::string_view text, const std::string& name, const std::string& directory,
                     const Parameters& parameters, const OpNames& ops) {
  Library library;
  library.text(text, name, directory);
  return expand_document(library, name, {}, parameters, ops);
}

std::vector<std::string> OpNames::names() const {
  std::vector<std::string> names;
  for (const auto& [name, op] : ops) names.push_back(name);
  return names;
}

const AttributeSpec* SpecNode::find(std::string_view name) const {
  const auto found = std::find_if(attributes.begin(), attributes.end(),
                                  [&](const AttributeSpec& a) { return a.name == name; });
  return found == attributes.end() ? nullptr : &*found;
}

AttributeSpec* SpecNode::find(std::string_view name) {
  return const_cast<AttributeSpec*>(std::as_const(*this).find(name));
}

const SpecNode* FlatSpec::find(std::string_view path) const {
  const auto found = std::find_if(nodes.begin(), nodes.end(),
                                  [&](const SpecNode& node) { return node.path == path; });
  return found == nodes.end() ? nullptr : &*found;
}

SpecNode* FlatSpec::find(std::string_view path) {
  return const_cast<SpecNode*>(std::as_const(*this).find(path));
}

Error& note_chain(Error& error, const BlockChain& chain) {
  for (auto link = chain.rbegin(); link != chain.rend(); ++link) {
    error.note(fmt::format("in {}, used at {}", link->first, link->second.str()));
  }
  return error;
}

}  // namespace expgraph
