// host_executor: one kernel per node -> an Executable in host memory.
#include "core/host_executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/ir/op_schema.h"

namespace expgraph {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

bool meet(const TensorView& a, const TensorView& b) {
  if (a.data == nullptr || b.data == nullptr) return false;
  const auto *first = a.as<std::byte>(), *second = b.as<std::byte>();
  return first < second + b.type.bytes() && second < first + a.type.bytes();
}

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
  start_ = Clock::now();

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

/// Whether a second run of it reads what the first one read, and leaves what that left.
bool HostExecutable::may_repeat(size_t node) const {
  const Step& step = steps_[node];
  const std::vector<ValueId>& values = graph_.nodes()[node].outputs;
  const bool in_state = std::ranges::any_of(values, [&](ValueId value) {
    return plan_.placements[static_cast<size_t>(value.index)].kind == Placement::Kind::state;
  });
  return !in_state && std::ranges::none_of(step.outputs, [&](const TensorView& output) {
    return std::ranges::any_of(step.inputs,
                               [&](const TensorView& input) { return meet(output, input); });
  });
}

void HostExecutable::run_node(size_t node, std::byte* arena) {
  const Step& step = steps_[node];
  const auto unread = [](const TensorView& output) { return output.data == nullptr; };
  if (std::ranges::all_of(step.outputs, unread)) return;
  const NodeId id{static_cast<int32_t>(node)};
  const KernelArgs args{step.inputs, step.outputs, arena + plan_.scratch[node]};
  if (!options_.profile) {
    kernels_[node].run(args);
  } else {
    const int times = may_repeat(node) ? std::max(1, options_.repeats) : 1;
    for (int k = 0; k < times; ++k) {
      const auto start = Clock::now();
      kernels_[node].run(args);
      const NodeTime time{id, seconds_between(start, Clock::now()), seconds_between(start_, start)};
      if (k == 0) times_.push_back(time);
      if (time.seconds < times_.back().seconds) times_.back() = time;
    }
  }
  if (options_.check_finite && !first_non_finite_) {
    const bool finite = std::ranges::all_of(step.outputs, [&](const TensorView& output) {
      return unread(output) || all_finite(output);
    });
    if (!finite) first_non_finite_ = id;
  }
}

}  // namespace expgraph
