// guarded_run: a program run with guard zones around every tensor -> its results and what it
// touched that is not its own.
#include "tests/support/guarded_run.h"

#include <algorithm>
#include <cstring>

#include "core/host_store.h"

namespace expgraph::test {

namespace {

constexpr int64_t kGuard = 4096;  // more than the largest pixel of a test

int64_t padded(int64_t bytes) { return (bytes + kGuard - 1) / kGuard * kGuard; }

/// What lies where nothing was written: NaNs, each with a number of its own, so that one that is
/// carried from one zone to another shows.
class Poison {
 public:
  explicit Poison(uint32_t first) : first_(first) {}
  std::byte at(int64_t byte) const {
    const uint32_t word = 0xffc00000u | ((first_ + static_cast<uint32_t>(byte / 4)) & 0x3fffffu);
    return static_cast<std::byte>(word >> 8 * (byte % 4));
  }
  void fill(std::byte* data, int64_t bytes) const {
    for (int64_t i = 0; i < bytes; ++i) data[i] = at(i);
  }
  /// Whether it is as filled from one byte to another.
  bool intact(const std::byte* data, int64_t begin, int64_t end) const {
    for (int64_t i = begin; i < end; ++i)
      if (data[i] != at(i)) return false;
    return true;
  }

 private:
  uint32_t first_;
};

/// A tensor's bytes with guard zones before and after.
class GuardedTensor {
 public:
  GuardedTensor(const TensorType& type, uint32_t number)
      : type_(type), poison_(number * 0x1e3779u), buffer_(kGuard + padded(type.bytes()) + kGuard) {
    poison_.fill(buffer_.data(), buffer_.bytes());
  }
  std::byte* data() const { return buffer_.data() + kGuard; }
  TensorView view() const { return {type_, data()}; }
  bool intact() const {
    return poison_.intact(buffer_.data(), 0, kGuard) &&
           poison_.intact(buffer_.data(), kGuard + type_.bytes(), buffer_.bytes());
  }

 private:
  TensorType type_;
  Poison poison_;
  AlignedBuffer buffer_;
};

/// Of an arena that was filled with poison: the bytes between the planned values.
bool gaps_intact(const Graph& graph, const MemoryPlan& plan, const Poison& poison,
                 const std::byte* arena) {
  std::vector<std::pair<int64_t, int64_t>> owned{{plan.arena_bytes, plan.arena_bytes}};
  for (size_t v = 0; v < plan.placements.size(); ++v) {
    const Placement& place = plan.placements[v];
    if (place.kind == Placement::Kind::arena)
      owned.emplace_back(place.offset, place.offset + graph.values()[v].type.bytes());
  }
  std::sort(owned.begin(), owned.end());
  int64_t end = 0;
  for (const auto& [begin, next_end] : owned) {
    if (!poison.intact(arena, end, begin)) return false;
    end = std::max(end, next_end);
  }
  return true;
}

}  // namespace

MemoryPlan guarded_plan(const Graph& graph) {
  MemoryPlan plan;
  plan.placements.resize(graph.values().size());
  for (const Leaf& leaf : graph.leaves()) {
    EXPGRAPH_CHECK(leaf.kind == LeafKind::input);
    plan.placements[static_cast<size_t>(leaf.value.index)] = {Placement::Kind::binding, 0,
                                                              leaf.value};
  }
  plan.share = false;
  plan.arena_bytes = kGuard;
  const auto consumers = graph.consumers();
  for (const Node& node : graph.nodes()) {
    for (ValueId out : node.outputs) {
      const bool result =
          std::ranges::find(graph.results(), out, &Result::value) != graph.results().end();
      if (!result && consumers[static_cast<size_t>(out.index)].empty()) continue;
      plan.placements[static_cast<size_t>(out.index)] = {
          Placement::Kind::arena, plan.arena_bytes, {}};
      plan.arena_bytes += padded(graph.type(out).bytes()) + kGuard;
    }
  }
  return plan;
}

GuardedRun guarded_run(const Backend& backend, const Graph& graph, const MemoryPlan& plan,
                       const Tensors& inputs, const std::string& overwritten, int threads) {
  std::map<std::string, GuardedTensor> bound, results;
  uint32_t tensors = 0;
  const auto guarded = [&](auto& into, const std::string& name, const TensorType& type) -> auto& {
    return into.try_emplace(name, type, ++tensors).first->second;
  };
  std::vector<Binding> input_bindings, result_bindings;
  for (const auto& [name, tensor] : inputs) {
    GuardedTensor& copy = guarded(bound, name, tensor.type);
    std::memcpy(copy.data(), tensor.bytes.data(), tensor.bytes.size());
    input_bindings.push_back({name, copy.view()});
  }
  for (const Result& result : graph.results()) {
    GuardedTensor& tensor = guarded(results, result.name, graph.type(result.value));
    result_bindings.push_back({result.name, tensor.view()});
  }

  const auto store = backend.make_store();
  const auto executable = backend.compile(graph, plan, {.threads = threads});
  const int64_t workspace = executable->workspace_bytes();
  const Poison poison(0);
  std::byte* arena = nullptr;
  if (auto* host = dynamic_cast<HostStateStore*>(store.get())) {
    arena = host->arena(workspace + kGuard);
    poison.fill(arena, workspace + kGuard);
  }
  executable->run(input_bindings, result_bindings, *store);

  GuardedRun run;
  for (const auto& [name, tensor] : bound) {
    if (!tensor.intact()) run.faults.push_back("wrote around input " + name);
    const Tensor& before = inputs.at(name);
    if (name != overwritten && std::memcmp(tensor.data(), before.bytes.data(), before.bytes.size()))
      run.faults.push_back("changed input " + name);
  }
  for (const auto& [name, tensor] : results) {
    if (!tensor.intact()) run.faults.push_back("wrote around result " + name);
    Tensor& copy = run.results.emplace(name, tensor.view().type).first->second;
    std::memcpy(copy.bytes.data(), tensor.data(), copy.bytes.size());
  }
  // In a plan that shares, kernels' scratch lies between the values.
  if (arena && !plan.share && !gaps_intact(graph, plan, poison, arena))
    run.faults.push_back("wrote between the tensors of the arena");
  if (arena && !poison.intact(arena, workspace, workspace + kGuard))
    run.faults.push_back("wrote after the scratch memory");
  return run;
}

}  // namespace expgraph::test
