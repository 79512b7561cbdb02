// target: what the compiler must know of a backend, as data.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/ir/tensor_type.h"

namespace expgraph {

/// Who reads what an operator of a chain feeds to the next one.
enum class Link {
  next,     ///< that one alone: the value lies nowhere
  members,  ///< operators of the chain alone
  anyone,   ///< others too, or it is kept: it is an output of the fusion as well
};

/// A chain of operators that the backend runs as one node. ops[0] feeds ops[1] and so on, each by
/// its first output into any value input of the next.
struct FusionPattern {
  std::string name;  ///< kind of the fusion node: "batch_norm_relu"
  std::vector<std::string> ops;
  std::optional<DType> only = {};  ///< what ops[0] makes; none: any type
  std::vector<Link> links = {};    ///< of each operator but the last; none: all Link::next

  Link link(size_t k) const { return links.empty() ? Link::next : links[k]; }
};

/// What the backend does to the samples of a batch as one node, "augment", from the data set as it
/// was read; without operators: none of it.
struct FeedFusion {
  std::vector<std::string> ops;  ///< operators on samples, in any order
  size_t most = 0;               ///< of them in a row
  bool takes(std::span<const std::string_view> chain) const;
};

struct Target {
  std::string name;
  std::vector<FusionPattern> fusions;  ///< tried in order, longest first
  std::vector<DType> types;            ///< element types it computes in
  FeedFusion feed = {};  ///< where it takes what is done to samples, nothing of that is done once
  bool recompute =
      false;  ///< run normalisation and activation again in backward, rather than keep them
  bool update_early = false;  ///< update a parameter as soon as its gradient is there
  int64_t alignment = 64;     ///< bytes, of every tensor in the arena
};

/// The target of a backend by name; Error (usage, with the nearest name) when there is none.
const Target& target(std::string_view backend);
std::vector<std::string> target_names();

}  // namespace expgraph
