// feed: a graph that makes batches -> whether a target makes them as one node, "augment".
#include <algorithm>

#include "core/ir/op_schema.h"
#include "core/passes/chains.h"

namespace expgraph {
namespace {

const FusionPattern kAugment{.name = "augment", .ops = {}};

/// The one feed that there is: samples are gathered, mapped one by one and made images of, labels
/// are gathered by the same index; images and labels are all that is handed out.
class Feed {
 public:
  explicit Feed(const Graph& graph) : graph_(graph) {
    for (size_t n = 0; n < graph.nodes().size() && is_one_; ++n) {
      members_.push_back({static_cast<int32_t>(n)});
      is_one_ = add(graph.nodes()[n]);
    }
    is_one_ = is_one_ && images_.valid() && label_.valid() && graph.results().size() == 2 &&
              graph.updates().empty() && kept(images_) && kept(label_);
  }

  bool is_one() const { return is_one_; }
  std::span<const std::string_view> stages() const { return stages_; }
  const std::vector<NodeId>& members() const { return members_; }
  const std::vector<ValueId>& inner() const { return inner_; }

 private:
  /// Whether the node has a place in a feed.
  bool add(const Node& node) {
    if (node.inputs.empty() || !node.inputs[0].valid() || node.outputs.empty()) return false;
    const ValueId x = node.inputs[0], y = node.outputs[0];
    const std::string_view name = node.op->name;
    if (name == "gather") {
      ValueId& made = graph_.type(x).rank() == 4 ? sample_ : label_;
      const bool is_first = !made.valid() && graph_.is_leaf(x);
      made = y;
      if (!index_.valid()) index_ = node.inputs[1];
      return is_first && index_ == node.inputs[1] && graph_.is_leaf(index_);
    }
    if (x != sample_ || images_.valid()) return false;
    inner_.push_back(x);
    sample_ = y;
    if (name == "to_images")
      images_ = y;
    else
      stages_.push_back(name);
    return true;
  }

  bool kept(ValueId value) const {
    return std::ranges::find(graph_.results(), value, &Result::value) != graph_.results().end();
  }

  const Graph& graph_;
  bool is_one_ = true;
  ValueId index_, sample_, images_, label_;
  std::vector<std::string_view> stages_;
  std::vector<NodeId> members_;
  std::vector<ValueId> inner_;
};

}  // namespace

std::optional<Chain> find_feed(const Graph& graph, const Target& target) {
  const Feed feed(graph);
  if (!feed.is_one() || !target.feed.takes(feed.stages())) return std::nullopt;
  return Chain{.pattern = &kAugment,
               .members = feed.members(),
               .inner = feed.inner(),
               .place = feed.members().back()};
}

}  // namespace expgraph
