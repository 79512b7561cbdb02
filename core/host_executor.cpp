// host_executor: one kernel per node -> an Executable in host memory.
#include "core/host_executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "core/ir/op_schema.h"

namespace expgraph {

namespace {

/// The binding of that name and type; std::logic_error when there is none.
std::byte* bound(std::span<const Binding> bindings, const std::string& name,
                 const TensorType& type) {
  auto found = std::ranges::find(bindings, name, &Binding::name);
  if (found == bindings.end()) throw std::logic_error("nothing is bound to '" + name + "'");
  if (found->tensor.type != type)
    throw std::logic_error(
        fmt::format("'{}' is {}, bound to {}", name, type.str(), found->tensor.type.str()));
  return found->tensor.as<std::byte>();
}

/// IEEE formats: NaN and Inf are those whose exponent bits are all ones.
template <typename Bits>
bool no_full_exponent(const TensorView& tensor, Bits exponent) {
  const Bits* bits = tensor.as<Bits>();
  return std::none_of(bits, bits + tensor.type.elements(),
                      [=](Bits b) { return (b & exponent) == exponent; });
}

}  // namespace

bool all_finite(const TensorView& tensor) {
  switch (tensor.type.dtype) {
    case DType::f32:
      return no_full_exponent<uint32_t>(tensor, 0x7f80'0000);
    case DType::f64:
      return no_full_exponent<uint64_t>(tensor, 0x7ff0'0000'0000'0000);
    case DType::bf16:
      return no_full_exponent<uint16_t>(tensor, 0x7f80);
    case DType::f16:
      return no_full_exponent<uint16_t>(tensor, 0x7c00);
    case DType::i32:
    case DType::u8:
      return true;
  }
  return true;
}

HostExecutable::HostExecutable(const Graph& graph, MemoryPlan plan, std::vector<Kernel> kernels,
                               const CompileOptions& options)
    : graph_(graph), plan_(std::move(plan)), kernels_(std::move(kernels)), options_(options) {
  EXPGRAPH_CHECK(kernels_.size() == graph.nodes().size());
  EXPGRAPH_CHECK(plan_.placements.size() == graph.values().size());
  std::vector<int64_t> scratch;
  for (const Kernel& kernel : kernels_) scratch.push_back(kernel.scratch_bytes);
  constexpr int64_t kAlignment = 64;
  plan_ = add_scratch(graph, plan_, scratch, kAlignment);
  pointers_.resize(graph.values().size());
  for (const Node& node : graph.nodes()) {
    Step& step = steps_.emplace_back();
    for (ValueId in : node.inputs)
      step.inputs.push_back({in.valid() ? graph.type(in) : TensorType{}, nullptr});
    for (ValueId out : node.outputs) step.outputs.push_back({graph.type(out), nullptr});
  }
}

void HostExecutable::run(std::span<const Binding> inputs, std::span<const Binding> results,
                         StateStore& store) {
  auto* host = dynamic_cast<HostStateStore*>(&store);
  EXPGRAPH_CHECK(host != nullptr);
  std::byte* arena = host->arena(workspace_bytes());
  resolve(inputs, *host, arena);
  times_.clear();
  first_non_finite_.reset();

  for (size_t node = 0; node < steps_.size(); ++node) run_node(node, arena);

  for (const Binding& result : results) {
    auto found = std::ranges::find(graph_.results(), result.name, &Result::name);
    if (found == graph_.results().end())
      throw std::logic_error("the program has no result '" + result.name + "'");
    const TensorType& type = graph_.type(found->value);
    std::memcpy(bound({&result, 1}, result.name, type), pointer(found->value),
                static_cast<size_t>(type.bytes()));
  }
  for (const StateUpdate& copy : plan_.copies)
    std::memmove(pointer(copy.state), pointer(copy.value),
                 static_cast<size_t>(graph_.type(copy.state).bytes()));
}

void HostExecutable::resolve(std::span<const Binding> inputs, HostStateStore& store,
                             std::byte* arena) {
  for (const Leaf& leaf : graph_.leaves()) {
    const TensorType& type = graph_.type(leaf.value);
    if (leaf.kind == LeafKind::state) {
      EXPGRAPH_CHECK(store.type(leaf.name) == type);
      pointer(leaf.value) = store.data(leaf.name);
    } else {
      pointer(leaf.value) = bound(inputs, leaf.name, type);
    }
  }
  for (const Node& node : graph_.nodes()) {
    for (ValueId out : node.outputs) {
      const Placement& place = plan_.placements[static_cast<size_t>(out.index)];
      if (place.kind == Placement::Kind::arena)
        pointer(out) = arena + place.offset;
      else if (place.kind != Placement::Kind::none)
        pointer(out) = pointer(place.leaf);
    }
  }
  for (size_t n = 0; n < steps_.size(); ++n) {
    const Node& node = graph_.nodes()[n];
    for (size_t k = 0; k < node.inputs.size(); ++k)
      steps_[n].inputs[k].data = node.inputs[k].valid() ? pointer(node.inputs[k]) : nullptr;
    for (size_t k = 0; k < node.outputs.size(); ++k)
      steps_[n].outputs[k].data = pointer(node.outputs[k]);
  }
}

void HostExecutable::run_node(size_t node, std::byte* arena) {
  using Clock = std::chrono::steady_clock;
  const Step& step = steps_[node];
  const auto unread = [](const TensorView& output) { return output.data == nullptr; };
  if (std::ranges::all_of(step.outputs, unread)) return;
  const NodeId id{static_cast<int32_t>(node)};
  const auto start = options_.profile ? Clock::now() : Clock::time_point{};
  kernels_[node].run({step.inputs, step.outputs, arena + plan_.scratch[node]});
  if (options_.profile)
    times_.push_back({id, std::chrono::duration<double>(Clock::now() - start).count()});
  if (options_.check_finite && !first_non_finite_) {
    const bool finite = std::ranges::all_of(step.outputs, [&](const TensorView& output) {
      return unread(output) || all_finite(output);
    });
    if (!finite) first_non_finite_ = id;
  }
}

}  // namespace expgraph
