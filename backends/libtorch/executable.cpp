// executable: Graph and MemoryPlan -> a program of kernels over tensors on the device.
#include "backends/libtorch/executable.h"

#include <fmt/format.h>

#include <algorithm>

namespace expgraph::libtorch {

namespace {

size_t at(ValueId value) { return static_cast<size_t>(value.index); }

void check_memory(const Graph& graph, const MemoryPlan& plan, const Device& device) {
  int64_t needed = plan.arena_bytes;
  if (device.cuda != nullptr)  // where inputs have memory of their own
    for (const Leaf& leaf : graph.leaves())
      if (leaf.kind != LeafKind::state) needed += graph.type(leaf.value).bytes();
  const int64_t free = free_bytes(device);
  if (needed <= free) return;
  constexpr double kGiB = 1 << 30;
  throw Error(
      fmt::format("'{}' needs {:.1f} GiB on {}, {:.1f} GiB are free: make the batch smaller",
                  graph.name(), double(needed) / kGiB, device.at.str(), double(free) / kGiB),
      {}, ExitCode::environment);
}

}  // namespace

TorchExecutable::TorchExecutable(const Graph& graph, const MemoryPlan& plan,
                                 const CompileOptions& options, const Device& device)
    : graph_(graph),
      plan_(plan),
      options_(options),
      device_(device),
      threads_(options.threads > 0 ? options.threads : at::intraop_default_num_threads()),
      slots_(graph.values().size()),
      results_(graph.results().size()) {
  const c10::InferenceMode guard;
  check_memory(graph, plan, device);
  const Uses uses = uses_of(graph);
  for (const Group& group : schedule(graph, plan))
    if (is_read(group, uses)) add_step(group, uses);
  plan_releases(uses);
  const bool observed = options.profile || options.check_finite;
  if (device.cuda != nullptr && !observed) launcher_ = device.cuda->make_launcher();
}

/// Waits, as the run under way uses what is about to go. Who asked for that run has been told of
/// its fault, or has gone.
TorchExecutable::~TorchExecutable() {
  try {
    wait();
  } catch (const std::exception&) {  // NOLINT: a destructor does not throw
  }
}

bool TorchExecutable::is_read(const Group& group, const Uses& uses) const {
  return std::ranges::any_of(group, [&](NodeId node) {
    return std::ranges::any_of(graph_.node(node).outputs, [&](ValueId output) {
      return uses.read[at(output)] || uses.handed_out[at(output)];
    });
  });
}

void TorchExecutable::add_step(const Group& group, const Uses& uses) {
  Step& step = steps_.emplace_back();
  step.nodes = group;
  step.kernel = make_kernel(graph_, graph_.node(group[0]), &plan_, uses);
  step.arguments.resize(graph_.node(group[0]).inputs.size());
  if (group.size() > 1) make_flat(step);
}

void TorchExecutable::make_flat(Step& step) {
  const Node& first = graph_.node(step.nodes[0]);
  for (size_t k = 0; k < first.inputs.size(); ++k) {
    FlatInput& input = step.flat.emplace_back();
    const ValueId value = first.inputs[k];
    if (!value.valid()) continue;
    if (graph_.type(value).shape != graph_.type(first.outputs[0]).shape) {
      input.shared = value;
      continue;
    }
    std::vector<TensorType> types;
    for (const NodeId node : step.nodes) {
      const ValueId piece = graph_.node(node).inputs[k];
      const ValueId state = state_of(plan_, piece);
      if (state.valid())
        input.states.push_back(graph_.leaf(state).name);
      else
        input.values.push_back(piece);
      types.push_back(graph_.type(piece));
    }
    if (input.values.empty()) continue;
    const FlatLayout layout(types);
    input.tensor =
        at::zeros({layout.elements()}, at::dtype(scalar_type(types[0].dtype)).device(device_.at));
    input.views = layout.views(input.tensor);
  }
  for (size_t k = 0; k < first.outputs.size(); ++k) {
    const ValueId state = state_of(plan_, first.outputs[k]);
    if (std::ranges::find(first.inputs, state) != first.inputs.end()) continue;
    FlatOutput& output = step.flat_made.emplace_back(FlatOutput{.output = k});
    for (const NodeId node : step.nodes)
      output.states.push_back(graph_.leaf(state_of(plan_, graph_.node(node).outputs[k])).name);
  }
}

void TorchExecutable::plan_releases(const Uses& uses) {
  std::vector<bool> read(slots_.size(), false);
  for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
    const auto release = [&](ValueId value) {
      if (!value.valid() || graph_.is_leaf(value) || uses.handed_out[at(value)]) return;
      if (read[at(value)]) return;
      read[at(value)] = true;
      step->read_last.push_back(value);
    };
    for (const NodeId node : step->nodes) {
      std::ranges::for_each(graph_.node(node).inputs, release);
      std::ranges::for_each(graph_.node(node).outputs, release);
    }
  }
}

void TorchExecutable::bind(std::span<const Binding> inputs, TorchStore& store) {
  for (Step& step : steps_) {
    for (FlatInput& input : step.flat)
      if (!input.states.empty()) input.tensor = store.flat(input.states);
    for (FlatOutput& output : step.flat_made) output.tensor = store.flat(output.states);
  }
  for (const Leaf& leaf : graph_.leaves()) {
    if (leaf.kind == LeafKind::state) {
      EXPGRAPH_CHECK(store.type(leaf.name) == graph_.type(leaf.value));
      slot(leaf.value) = store.tensor(leaf.name);
      continue;
    }
    const auto found = std::ranges::find(inputs, leaf.name, &Binding::name);
    if (found == inputs.end()) throw std::logic_error("nothing is bound to '" + leaf.name + "'");
    const TensorType& leaf_type = graph_.type(leaf.value);
    EXPGRAPH_CHECK(found->tensor.type == leaf_type);
    const at::Tensor given = tensor_over(found->tensor);
    if (device_.cuda == nullptr) {
      slot(leaf.value) = given;
    } else if (found->constant) {
      slot(leaf.value) = store.resident(found->tensor);
    } else {
      if (!slot(leaf.value).defined())
        slot(leaf.value) = at::empty_strided(given.sizes(), strides_of(leaf_type.shape),
                                             given.options().device(device_.at));
      slot(leaf.value).copy_(given);
    }
  }
}

void TorchExecutable::run(std::span<const Binding> inputs, std::span<const Binding> results,
                          StateStore& store) {
  auto* states = dynamic_cast<TorchStore*>(&store);
  EXPGRAPH_CHECK(states != nullptr);
  states->take_over(launcher_);
  try {
    if (launcher_ == nullptr) {
      run_bound(inputs, results, *states);
      if (device_.cuda != nullptr) device_.cuda->synchronise();
      return;
    }
    launcher_->start(
        [this, states, in = std::vector(inputs.begin(), inputs.end()),
         out = std::vector(results.begin(), results.end())] { run_bound(in, out, *states); });
    const auto on_host = [](const Binding& result) { return !result.tensor.on_device; };
    if (std::ranges::any_of(results, on_host)) launcher_->wait();
  } catch (const c10::OutOfMemoryError&) {
    throw Error(fmt::format("'{}' has run out of memory on {}: make the batch smaller",
                            graph_.name(), device_.at.str()),
                {}, ExitCode::environment);
  }
}

void TorchExecutable::wait() {
  if (launcher_ != nullptr) launcher_->wait();
}

void TorchExecutable::run_bound(std::span<const Binding> inputs, std::span<const Binding> results,
                                TorchStore& store) {
  const c10::InferenceMode guard;
  if (at::get_num_threads() != threads_) at::set_num_threads(threads_);
  bind(inputs, store);
  if (launcher_ != nullptr) launcher_->inputs_read();
  times_.clear();
  first_non_finite_.reset();
  start_ = std::chrono::steady_clock::now();
  if (launcher_ != nullptr) {
    std::vector<void*> addresses;
    for (const Leaf& leaf : graph_.leaves()) addresses.push_back(slot(leaf.value).data_ptr());
    const bool moved = addresses != addresses_;
    addresses_ = std::move(addresses);
    launcher_->replay([this] { run_all(); }, moved);
  } else {
    run_all();
  }
  for (const Binding& result : results) {
    const auto found = std::ranges::find(graph_.results(), result.name, &Result::name);
    if (found == graph_.results().end())
      throw std::logic_error("the program has no result '" + result.name + "'");
    EXPGRAPH_CHECK(result.tensor.type == graph_.type(found->value));
    tensor_over(result.tensor)
        .copy_(results_[static_cast<size_t>(found - graph_.results().begin())]);
  }
}

void TorchExecutable::run_all() {
  for (Step& step : steps_) run_step(step);
  for (size_t k = 0; k < results_.size(); ++k) {
    const ValueId value = graph_.results()[k].value;
    results_[k] = state_of(plan_, value).valid() ? slot(value).clone() : slot(value);
  }
  for (const StateUpdate& copy : plan_.copies) slot(copy.state).copy_(slot(copy.value));
}

bool TorchExecutable::may_repeat(const Step& step) const {
  const std::vector<ValueId>& values = graph_.node(step.nodes[0]).outputs;
  return step.flat.empty() && std::ranges::none_of(values, [&](ValueId value) {
           return state_of(plan_, value).valid();
         });
}

void TorchExecutable::run_step(Step& step) {
  using Clock = std::chrono::steady_clock;
  const auto now = [&] {
    if (device_.cuda != nullptr) device_.cuda->synchronise();
    return Clock::now();
  };
  const auto run = [&] { step.flat.empty() ? run_node(step) : run_flat(step); };
  if (!options_.profile) {
    run();
  } else {
    const auto seconds = [](Clock::time_point from, Clock::time_point to) {
      return std::chrono::duration<double>(to - from).count();
    };
    const int times = may_repeat(step) ? std::max(1, options_.repeats) : 1;
    for (int k = 0; k < times; ++k) {
      const auto start = now();
      run();
      const NodeTime time{step.nodes[0], seconds(start, now()), seconds(start_, start)};
      if (k == 0) times_.push_back(time);
      if (time.seconds < times_.back().seconds) times_.back() = time;
    }
  }
  if (options_.check_finite && !first_non_finite_) observe(step);
  for (at::Tensor& argument : step.arguments) argument.reset();
  for (const ValueId value : step.read_last) slot(value).reset();
}

void TorchExecutable::run_node(Step& step) {
  const Node& node = graph_.node(step.nodes[0]);
  for (size_t k = 0; k < node.inputs.size(); ++k)
    if (node.inputs[k].valid()) step.arguments[k] = slot(node.inputs[k]);
  Tensors outputs = step.kernel(step.arguments);
  EXPGRAPH_CHECK(outputs.size() >= node.outputs.size());
  for (size_t k = 0; k < node.outputs.size(); ++k) {
    at::Tensor& made = outputs[k];
    if (!made.defined()) continue;
    if (const ValueId state = state_of(plan_, node.outputs[k]); state.valid()) {
      if (!made.is_same(slot(state))) slot(state).copy_(made);
      made = slot(state);
    } else {
      // A view of a state would change with it.
      for (size_t i = 0; i < node.inputs.size(); ++i)
        if (node.inputs[i].valid() && state_of(plan_, node.inputs[i]).valid() &&
            made.is_alias_of(step.arguments[i]))
          made = made.clone();
    }
    slot(node.outputs[k]) = std::move(made);
  }
}

void TorchExecutable::run_flat(Step& step) {
  for (size_t k = 0; k < step.flat.size(); ++k) {
    FlatInput& input = step.flat[k];
    Tensors pieces;
    for (const ValueId value : input.values) pieces.push_back(slot(value));
    if (!pieces.empty()) at::_foreach_copy_(input.views, pieces);
    step.arguments[k] = input.shared.valid() ? slot(input.shared) : input.tensor;
  }
  const Tensors made = step.kernel(step.arguments);
  for (const FlatOutput& output : step.flat_made) output.tensor.copy_(made[output.output]);
  for (const NodeId node : step.nodes)
    for (const ValueId output : graph_.node(node).outputs)
      slot(output) = slot(state_of(plan_, output));
}

void TorchExecutable::observe(const Step& step) {
  for (const NodeId node : step.nodes)
    for (const ValueId output : graph_.node(node).outputs) {
      const at::Tensor& made = slot(output);
      const bool bad =
          made.defined() && made.is_floating_point() && !at::isfinite(made).all().item<bool>();
      if (bad && !first_non_finite_) first_non_finite_ = node;
    }
}

}  // namespace expgraph::libtorch
