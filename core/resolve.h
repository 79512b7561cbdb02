// resolve: the symbolic references of a FlatSpec -> the instances of nodes that they mean. Groups
// and group inputs vanish here; a group that is evaluated again becomes instances of its own.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/spec/graph_spec.h"

namespace expgraph {

/// A node of the spec, in its own place or as part of an `evaluate:` group.
struct Instance {
  const SpecNode* node = nullptr;
  const SpecNode* evaluation = nullptr;  ///< the group that evaluates it again; null: in its place
  std::string path() const;              ///< where it stands: "test/net/prep/conv"
  bool operator==(const Instance&) const = default;
};

/// One output of an instance.
struct Source {
  Instance instance;
  std::string output;  ///< "" = the first
};

class Resolver {
 public:
  explicit Resolver(const FlatSpec& spec);

  /// Instances under `group` ("train"), evaluated groups expanded, each after all it reads.
  /// Throws Error for a cycle, naming it.
  std::vector<Instance> instances(std::string_view group) const;

  /// What a reference of `reader` means. Throws Error when the path names nothing (with the
  /// nearest), or a group's input that is not wired.
  Source source(const Reference& reference, const Instance& reader) const;

  /// Every wired input of an instance: positional first (input ""), then by name.
  std::vector<std::pair<std::string, Source>> sources(const Instance& reader) const;

 private:
  const SpecNode* find(std::string_view path) const;
  std::vector<std::string> paths() const;

  const FlatSpec& spec_;
  std::map<std::string, const SpecNode*, std::less<>> index_;
};

/// Adds "in block 'x'" notes of the node's chain, innermost first, and its place when there is
/// none.
Error located(Error error, const SpecNode& node);

}  // namespace expgraph
