// library: files -> the blocks and networks that graphs are made of, each file read once.
#include "core/spec/library.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

namespace expgraph {

const yaml::Value& Library::file(const std::string& path, const Location& asked_at) {
  const auto found = files_.find(path);
  if (found != files_.end()) return found->second;
  return files_.emplace(path, yaml::parse_file(path, asked_at)).first->second;
}

const yaml::Value& Library::text(std::string_view text, const std::string& name,
                                 const std::string& directory) {
  directories_[name] = directory;
  auto source = std::make_shared<SourceText>(SourceText{name, std::string(text)});
  return files_.insert_or_assign(name, yaml::parse(std::move(source))).first->second;
}

std::string Library::resolve(const std::string& path, const Location& where) const {
  std::filesystem::path directory;
  if (where) {
    const auto found = directories_.find(where.source->name);
    directory = found != directories_.end()
                    ? std::filesystem::path(found->second)
                    : std::filesystem::path(where.source->name).parent_path();
  }
  return (directory / path).lexically_normal().string();
}

const Scope& Library::scope(const yaml::Value& document) {
  const auto found = scope_of_.find(&document);
  if (found != scope_of_.end()) return *found->second;
  Scope& scope = scopes_.emplace_back();
  if (const yaml::Value* blocks = document.find("blocks")) {
    if (blocks->is_mapping()) {
      define(scope, *blocks);
    } else {
      if (!blocks->is_sequence()) {
        throw Error(fmt::format("'blocks' must be a list of files or a mapping of blocks, got {}",
                                yaml::describe(*blocks)),
                    blocks->where);
      }
      for (const yaml::Value& item : blocks->items) {
        if (item.is_mapping()) {
          define(scope, item);
          continue;
        }
        const std::string& path = yaml::require_text(item, "an item of 'blocks'");
        const Scope& listed = block_file(resolve(path, item.where), item.where);
        for (const std::string& name : listed.own) {
          add(scope, name, listed.visible.find(name)->second, item.where);
        }
      }
    }
  }
  scope_of_[&document] = &scope;
  return scope;
}

const Scope& Library::block_file(const std::string& path, const Location& asked_at) {
  if (const auto found = std::find(loading_.begin(), loading_.end(), path);
      found != loading_.end()) {
    throw Error(fmt::format("block files list each other: {} -> {}",
                            fmt::join(found, loading_.end(), " -> "), path),
                asked_at);
  }
  const yaml::Value& document = file(path, asked_at);
  yaml::expect_keys(document, {"blocks", "note"}, "a block file");
  if (document.find("blocks") == nullptr) {
    throw Error("a block file needs the key 'blocks'", document.where);
  }
  loading_.push_back(path);
  const Scope& result = scope(document);
  loading_.pop_back();
  return result;
}

void Library::define(Scope& scope, const yaml::Value& definitions) {
  for (const yaml::Entry& entry : definitions.entries) {
    const std::string label = fmt::format("block '{}'", entry.key);
    yaml::expect_keys(entry.value, {"note", "params", "nodes", "output"}, label);
    Block block{.label = label,
                .where = entry.where,
                .params = entry.value.find("params"),
                .nodes = entry.value.find("nodes"),
                .output = entry.value.find("output"),
                .scope = &scope};
    if (block.nodes == nullptr) throw Error(label + " needs the key 'nodes'", entry.where);
    add(scope, entry.key, std::move(block), entry.where);
    scope.own.push_back(entry.key);
  }
}

void Library::add(Scope& scope, const std::string& name, Block block, const Location& where) {
  const auto [found, is_new] = scope.visible.emplace(name, std::move(block));
  if (is_new) return;
  Error error(fmt::format("block '{}' is defined twice", name), where);
  throw error.note("first defined here", found->second.where);
}

const Block& Library::network(const std::string& path, const Location& asked_at) {
  const auto found = networks_.find(path);
  if (found != networks_.end()) return found->second;
  const yaml::Value& document = file(path, asked_at);
  yaml::require_mapping(document, "a network file");
  const yaml::Value* name = document.find("network");
  if (name == nullptr) throw Error("a network file needs the key 'network'", document.where);
  yaml::expect_keys(document, {"network", "note", "params", "blocks", "nodes", "output"},
                    "a network file");
  Block block{.label = fmt::format("network '{}'", yaml::require_text(*name, "'network'")),
              .where = name->where,
              .params = document.find("params"),
              .nodes = document.find("nodes"),
              .output = document.find("output"),
              .scope = &scope(document)};
  if (block.nodes == nullptr) throw Error("a network file needs the key 'nodes'", name->where);
  return networks_.emplace(path, std::move(block)).first->second;
}

}  // namespace expgraph
