// lifetimes: a graph -> the buffers its values need and when each is alive.
#include "core/passes/lifetimes.h"

#include <algorithm>

#include "core/passes/analysis.h"

namespace expgraph {

std::vector<int32_t> last_reads(const Graph& graph) {
  std::vector<int32_t> last(graph.values().size(), -1);
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    for (const ValueId input : graph.nodes()[n].inputs) {
      if (input.valid()) last[static_cast<size_t>(input.index)] = static_cast<int32_t>(n);
    }
  }
  const auto end = static_cast<int32_t>(graph.nodes().size());
  for (const Result& result : graph.results()) last[static_cast<size_t>(result.value.index)] = end;
  for (const StateUpdate& update : graph.updates()) {
    last[static_cast<size_t>(update.value.index)] = end;
  }
  return last;
}

std::vector<LiveBytes> buffers_of(const Graph& graph, const std::vector<bool>& elsewhere,
                                  bool share) {
  const std::vector<int32_t> last = last_reads(graph);
  const auto end = static_cast<int32_t>(graph.nodes().size());
  std::vector<LiveBytes> buffers;
  std::vector<int32_t> buffer_of(graph.values().size(), -1);
  const auto at = [](ValueId value) { return static_cast<size_t>(value.index); };
  for (int32_t n = 0; n < end; ++n) {
    const Node& node = graph.node({n});
    if (share) {
      for (const InPlace& pair : in_place_pairs(node)) {
        if (static_cast<size_t>(pair.output) >= node.outputs.size()) continue;
        const ValueId over = node.inputs[static_cast<size_t>(pair.input)];
        const ValueId output = node.outputs[static_cast<size_t>(pair.output)];
        const bool possible = over.valid() && buffer_of[at(over)] >= 0 && last[at(over)] == n &&
                              last[at(output)] >= 0 && !elsewhere[at(output)] &&
                              buffer_of[at(output)] < 0 &&
                              std::ranges::count(node.inputs, over) == 1 &&
                              graph.type(over).bytes() == graph.type(output).bytes();
        if (!possible) continue;
        LiveBytes& buffer = buffers[static_cast<size_t>(buffer_of[at(over)])];
        if (buffer.values.back() != over) continue;  // another output lies there already
        buffer.values.push_back(output);
        buffer.last = last[at(output)];
        buffer_of[at(output)] = buffer_of[at(over)];
      }
    }
    for (const ValueId output : node.outputs) {
      if (buffer_of[at(output)] >= 0 || last[at(output)] < 0 || elsewhere[at(output)]) continue;
      buffer_of[at(output)] = static_cast<int32_t>(buffers.size());
      buffers.push_back(
          {share ? n : 0, share ? last[at(output)] : end, graph.type(output).bytes(), {output}});
    }
  }
  return buffers;
}

}  // namespace expgraph
