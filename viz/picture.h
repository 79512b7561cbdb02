// picture: FlatSpec -> what a drawing of it shows: clusters, nodes and edges by path.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/pipeline.h"
#include "core/spec/graph_spec.h"

namespace expgraph {

enum class Change { none, added, removed, changed };

struct Picture {
  struct Attribute {
    std::string name, value;
    bool is_default = false;
    std::string before;  ///< in a diff: the other value, "" when it is the same
  };
  struct Cluster {
    std::string path;
    Change change = Change::none;
  };
  /// An operator, an evaluated group, or (op empty) what stands for something else: an end of the
  /// drawn part, or a collapsed cluster.
  struct Node {
    std::string path;
    std::string title;   ///< last component of the path
    std::string op;      ///< may be empty
    std::string family;  ///< of the operator; gives the colour
    std::vector<Attribute> attributes;
    Change change = Change::none;
  };
  struct Edge {
    std::string from, to;  ///< paths of nodes
    std::string label;     ///< the shape that flows, without the batch: "64x32x32"
    Change change = Change::none;
    bool operator==(const Edge& o) const { return from == o.from && to == o.to; }
  };

  std::string title;
  std::vector<Cluster> clusters;  ///< each before its members
  std::vector<Node> nodes;        ///< document order
  std::vector<Edge> edges;        ///< by reader, in its order of inputs
  bool is_diff = false;           ///< colours tell changes rather than families
};

/// (path of a node, its output, "" for the first) -> shape of one sample as text.
using Shapes = std::map<std::pair<std::string, std::string>, std::string>;
Shapes shapes_of(const FlatSpec& spec, const PipelineGraphs& graphs);
Shapes shapes_of(const Graph& graph);

/// The part of `spec` under `root` (a group's path; "" = all of it). What comes into the part and
/// goes out of it are nodes of their own.
Picture picture_of(const FlatSpec& spec, const std::string& root, const Shapes& shapes,
                   std::string title);

/// Path of the network in a pipeline: the largest group in `train` ("train/net"), or "train" when
/// it has none.
std::string network_of(const FlatSpec& spec);

/// "train/net/prep" of "train/net/prep/conv"; "" at the top.
std::string parent_path(const std::string& path);
/// "conv" of "train/net/prep/conv".
std::string last_component(const std::string& path);
/// Whether `path` lies below `group`; everything lies below "".
bool is_below(const std::string& path, const std::string& group);

}  // namespace expgraph
