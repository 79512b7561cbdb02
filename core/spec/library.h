// library: files -> the blocks and networks that graphs are made of, each file read once.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "core/spec/yaml.h"

namespace expgraph {

struct Scope;

/// A block or a network: a group with parameters. Points into the library that made it.
struct Block {
  std::string label;  ///< "block 'residual'", "network 'davidnet'"
  Location where;
  const yaml::Value* params = nullptr;  ///< null: none
  const yaml::Value* nodes = nullptr;
  const yaml::Value* output = nullptr;  ///< null: the last node
  const Scope* scope = nullptr;         ///< the blocks that its own nodes may name
};

/// The blocks that a file may name: its own and those that the files it lists define.
struct Scope {
  std::map<std::string, Block, std::less<>> visible;
  std::vector<std::string> own;
};

class Library {
 public:
  /// A parsed file; `path` as printed in messages.
  const yaml::Value& file(const std::string& path, const Location& asked_at);
  /// Adds a text under a name; relative paths in it start at `directory`.
  const yaml::Value& text(std::string_view text, const std::string& name,
                          const std::string& directory);
  /// The scope of a document: what its key `blocks` says (a mapping of definitions, or a list of
  /// files and such mappings).
  const Scope& scope(const yaml::Value& document);
  const Block& network(const std::string& path, const Location& asked_at);

  /// The path that a text in some file names: relative to that file.
  std::string resolve(const std::string& path, const Location& where) const;

 private:
  const Scope& block_file(const std::string& path, const Location& asked_at);
  void define(Scope& scope, const yaml::Value& definitions);
  void add(Scope& scope, const std::string& name, Block block, const Location& where);

  std::map<std::string, yaml::Value> files_;
  std::map<std::string, std::string> directories_;
  std::map<const yaml::Value*, const Scope*> scope_of_;
  std::map<std::string, Block> networks_;
  std::deque<Scope> scopes_;
  std::vector<std::string> loading_;
};

}  // namespace expgraph
