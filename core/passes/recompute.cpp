// recompute: a step -> one that keeps less. Where most bytes are alive, y = f(batch_norm(x)), f an
// activation, that is read before and after but not there is dropped in between: batch_norm_apply
// and f make it again, from x and the batch's statistics, right before the later reader (Chen et
// al., 2016). The gradient of gelu, which needs f's input, always has it made again.
#include <algorithm>
#include <map>

#include "core/ir/op_schema.h"
#include "core/passes/analysis.h"
#include "core/passes/chains.h"
#include "core/passes/lifetimes.h"
#include "core/passes/passes.h"

namespace expgraph {
namespace {

struct Candidate {
  NodeId norm, activation;
  int64_t bytes = 0;
  std::vector<int32_t> reads;  ///< times at which y is read
};

/// A candidate dropped after its read at `from`, made again for its read at `to`.
struct Drop {
  const Candidate* candidate = nullptr;
  int32_t from = 0;
  int32_t to = 0;
};

bool is_activation(const Node& node) {
  return node.op->name == "relu" || node.op->name == "celu" || node.op->name == "gelu";
}

std::vector<Candidate> find_candidates(const Graph& graph) {
  const std::vector<std::vector<NodeId>> readers = graph.consumers();
  const std::vector<bool> kept = kept_values(graph);
  std::vector<Candidate> candidates;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& activation = graph.nodes()[n];
    if (!is_activation(activation) || graph.is_leaf(activation.inputs[0])) continue;
    const ValueId y = activation.outputs[0];
    const Value& inner = graph.value(activation.inputs[0]);
    if (graph.node(inner.producer).op->name != "batch_norm" || inner.output != 0) continue;
    if (kept[static_cast<size_t>(y.index)]) continue;
    Candidate found{inner.producer, {static_cast<int32_t>(n)}, graph.type(y).bytes(), {}};
    for (const NodeId reader : readers[static_cast<size_t>(y.index)]) {
      found.reads.push_back(reader.index);
    }
    candidates.push_back(std::move(found));
  }
  return candidates;
}

/// Bytes alive at each time, as drops change them.
class Profile {
 public:
  Profile(const Graph& graph, const Target& target)
      : graph_(graph), bytes_(graph.nodes().size() + 1, 0), last_(last_reads(graph)) {
    // What lies inside of a fusion, or in a state, takes no bytes of the arena.
    std::vector<bool> elsewhere(graph.values().size(), false);
    for (const Chain& chain : find_chains(graph, target)) {
      for (size_t k = 0; k + 1 < chain.members.size(); ++k) {
        elsewhere[static_cast<size_t>(graph.output(chain.members[k]).index)] = true;
      }
    }
    for (const StateUpdate& update : graph.updates()) {
      elsewhere[static_cast<size_t>(update.value.index)] = true;
    }
    for (const Buffer& buffer : buffers_of(graph, elsewhere, true)) {
      add(buffer.first, buffer.last + 1, buffer.bytes);
    }
  }

  int32_t peak_time() const {
    return static_cast<int32_t>(std::ranges::max_element(bytes_) - bytes_.begin());
  }
  int64_t peak() const { return *std::ranges::max_element(bytes_); }

  /// The drop of this candidate that frees bytes at `time`; none where y is made, read or absent at
  /// that time, or where x would have to wait in its stead.
  Drop drop_at(const Candidate& candidate, int32_t time) const {
    const auto next = std::ranges::upper_bound(candidate.reads, time);
    if (next == candidate.reads.begin() || next == candidate.reads.end()) return {};
    const int32_t from = *(next - 1);
    const bool is_freed = from < time && time <= last_read_of_x(candidate);
    return is_freed ? Drop{&candidate, from, *next} : Drop{};
  }

  void apply(const Drop& drop, int sign) {
    add(drop.from + 1, drop.to, -sign * drop.candidate->bytes);
    const int32_t x_waits_from = last_read_of_x(*drop.candidate) + 1;
    if (x_waits_from <= drop.to) add(x_waits_from, drop.to + 1, sign * drop.candidate->bytes);
  }

 private:
  void add(int32_t begin, int32_t end, int64_t bytes) {
    for (int32_t t = begin; t < end; ++t) bytes_[static_cast<size_t>(t)] += bytes;
  }
  int32_t last_read_of_x(const Candidate& candidate) const {
    return last_[static_cast<size_t>(graph_.node(candidate.norm).inputs[0].index)];
  }

  const Graph& graph_;
  std::vector<int64_t> bytes_;
  std::vector<int32_t> last_;
};

/// The largest candidate alive at the peak is dropped until none is; then what did not help comes
/// back.
std::vector<Drop> choose(const std::vector<Candidate>& candidates, Profile profile) {
  std::vector<Drop> drops;
  std::vector<bool> dropped(candidates.size(), false);
  for (;;) {
    const int32_t time = profile.peak_time();
    Drop best;
    for (size_t k = 0; k < candidates.size(); ++k) {
      if (dropped[k]) continue;
      const Drop drop = profile.drop_at(candidates[k], time);
      if (drop.candidate == nullptr) continue;
      if (best.candidate == nullptr || drop.candidate->bytes > best.candidate->bytes) best = drop;
    }
    if (best.candidate == nullptr) break;
    profile.apply(best, 1);
    dropped[static_cast<size_t>(best.candidate - candidates.data())] = true;
    drops.push_back(best);
  }
  const int64_t peak = profile.peak();
  std::vector<Drop> needed;
  for (const Drop& drop : drops) {
    profile.apply(drop, -1);
    if (profile.peak() <= peak) continue;
    profile.apply(drop, 1);
    needed.push_back(drop);
  }
  return needed;
}

/// Adds a node that makes the norm's first output again and returns it.
ValueId normalise_again(const Node& norm, Rewriter& rewriter) {
  const OpSchema& schema = *norm.op;
  const auto input = [&](std::string_view name) {
    const ValueId value = norm.inputs[static_cast<size_t>(schema.input_index(name))];
    return value.valid() ? rewriter.map(value) : value;
  };
  const auto output = [&](std::string_view name) {
    return rewriter.map(norm.outputs[static_cast<size_t>(schema.output_index(name))]);
  };
  Graph& graph = rewriter.graph();
  return graph.add(
      "batch_norm_apply",
      {input("x"), input("scale"), input("bias"), output("mean"), output("inverse_std")}, {},
      norm.path + "/recompute");
}

/// Adds the nodes that make y again and returns it.
ValueId make_again(const Graph& from, const Candidate& candidate, Rewriter& rewriter) {
  const Node& activation = from.node(candidate.activation);
  const ValueId y = normalise_again(from.node(candidate.norm), rewriter);
  return rewriter.graph().add(activation.op->name, {y}, activation.attributes,
                              activation.path + "/recompute");
}

/// Where gelu_backward reads what a batch_norm made, it reads a batch_norm_apply of its own, if the
/// target runs the two as one: so no value waits for it but the norm's input, which waits anyway.
Graph renormalise(const Graph& graph, const Target& target) {
  const bool pays = std::ranges::any_of(target.fusions, [](const FusionPattern& pattern) {
    return pattern.ops.size() > 1 && pattern.ops[0] == "batch_norm_apply" &&
           pattern.ops[1] == "gelu_backward";
  });
  Rewriter rewriter(graph);
  for (int32_t n = 0; n < static_cast<int32_t>(graph.nodes().size()); ++n) {
    const Node& node = graph.node({n});
    const ValueId x = node.op->name == "gelu_backward" ? node.inputs[1] : ValueId();
    if (!pays || !x.valid() || graph.is_leaf(x)) {
      rewriter.copy({n});
      continue;
    }
    const Node& norm = graph.node(graph.value(x).producer);
    const bool made_by_norm = norm.op->name == "batch_norm" && graph.value(x).output == 0;
    const ValueId kept = rewriter.map(x);
    if (made_by_norm) rewriter.set(x, normalise_again(norm, rewriter));
    rewriter.copy({n});
    rewriter.set(x, kept);
  }
  return rewriter.finish();
}

}  // namespace

Graph recompute(const Graph& step, const Target& target) {
  const Graph graph = renormalise(step, target);
  const std::vector<Candidate> candidates = find_candidates(graph);
  std::multimap<int32_t, const Candidate*> again;  // by the time before which y is made again
  for (const Drop& drop : choose(candidates, Profile(graph, target))) {
    again.emplace(drop.to, drop.candidate);
  }
  Rewriter rewriter(graph);
  for (int32_t n = 0; n < static_cast<int32_t>(graph.nodes().size()); ++n) {
    for (auto [at, end] = again.equal_range(n); at != end; ++at) {
      rewriter.set(graph.output(at->second->activation), make_again(graph, *at->second, rewriter));
    }
    rewriter.copy({n});
  }
  return rewriter.finish();
}

}  // namespace expgraph
