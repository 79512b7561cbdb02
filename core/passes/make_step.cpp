// make_step: forward graph and what a training says -> forward, backward, update, averages and the
// state updates.
// A parameter that nothing reported depends on gets no update (PyTorch leaves it alone too); one
// that a result reads but the loss does not depend on is an error, as it would never learn.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/ir/op_schema.h"
#include "core/passes/analysis.h"
#include "core/passes/passes.h"

namespace expgraph {
namespace {

/// What the groups of a parameter make of its learning rate and weight decay.
struct Factors {
  double lr = 1;
  double weight_decay = 1;
  std::vector<ValueId> schedules;
  bool frozen = false;
};

class StepMaker {
 public:
  StepMaker(Graph graph, const TrainingSpec& training)
      : graph_(std::move(graph)), training_(training), readers_(graph_.consumers()) {
    std::vector<ValueId> losses;
    for (const OptimiserSpec& optimiser : training.optimisers) losses.push_back(optimiser.loss);
    live_ = live_nodes(graph_, losses);
    for (const ParameterGroup& group : training.groups) {
      for (const std::string& parameter : group.parameters) {
        Factors& factors = factors_[parameter];
        factors.lr *= group.lr;
        factors.weight_decay *= group.weight_decay;
        if (group.schedule.valid()) {
          factors.schedules.push_back(group.schedule);
        } else {
          factors.frozen |= group.lr == 0;
        }
      }
    }
  }

  Graph make() {
    const std::vector<StateUpdate> statistics = graph_.updates();
    for (const OptimiserSpec& optimiser : training_.optimisers) {
      EXPGRAPH_CHECK(optimiser.op != nullptr && optimiser.op->update != nullptr);
      parameters_[&optimiser] = parameters_of(optimiser);
    }
    if (training_.loss_scale) open_scaling(*training_.loss_scale);
    differentiate_losses();
    if (training_.loss_scale) unscale_gradients(*training_.loss_scale);
    guard_updates(0);
    for (const OptimiserSpec& optimiser : training_.optimisers) add_updates(optimiser);
    if (training_.loss_scale) close_scaling(*training_.loss_scale);
    for (const StateUpdate& update : statistics) add_averages(update.state);
    return std::move(graph_);
  }

 private:
  bool is_frozen(const std::string& parameter) const {
    const auto found = factors_.find(parameter);
    return found != factors_.end() && found->second.frozen;
  }

  std::vector<ValueId> parameters_of(const OptimiserSpec& optimiser) const {
    const auto names = [](const OptimiserSpec& spec, const std::string& name) {
      return std::ranges::find(spec.parameters, name) != spec.parameters.end();
    };
    std::vector<ValueId> found;
    for (const Leaf& leaf : graph_.leaves()) {
      if (!leaf.trainable || is_frozen(leaf.name)) continue;
      const bool taken =
          optimiser.takes_rest
              ? std::ranges::none_of(training_.optimisers,
                                     [&](const auto& other) { return names(other, leaf.name); })
              : names(optimiser, leaf.name);
      if (taken) found.push_back(leaf.value);
    }
    return found;
  }

  /// Optimisers of one loss share its backward pass.
  void differentiate_losses() {
    for (const OptimiserSpec& first : training_.optimisers) {
      const ValueId loss = first.loss;
      std::vector<ValueId> parameters;
      for (const OptimiserSpec& optimiser : training_.optimisers) {
        const std::vector<ValueId>& own = parameters_.at(&optimiser);
        if (optimiser.loss == loss) parameters.insert(parameters.end(), own.begin(), own.end());
      }
      if (std::ranges::any_of(parameters, [&](ValueId p) { return gradients_.contains(p); })) {
        continue;
      }
      const std::vector<ValueId> gradients = differentiate(graph_, loss, parameters, scale_);
      for (size_t k = 0; k < parameters.size(); ++k) gradients_[parameters[k]] = gradients[k];
    }
  }

  void open_scaling(const LossScaleSpec& spec) {
    const TensorType scalar{DType::f32, {}};
    const double start = spec.attributes.real("start");
    scale_ = graph_.add_state(spec.path + "/scale", scalar, {.a = start}, false);
    steps_ = graph_.add_state(spec.path + "/steps", scalar, {}, false);
  }

  void unscale_gradients(const LossScaleSpec& spec) {
    std::vector<ValueId> all;
    for (auto& [parameter, gradient] : gradients_) {
      if (!gradient.valid()) continue;
      const std::string path = fmt::format("{}/{}", spec.path, graph_.leaf(parameter).name);
      gradient = graph_.add("unscale", {gradient, scale_}, {}, path);
      all.push_back(gradient);
    }
    if (!all.empty()) finite_ = graph_.add("all_finite", std::move(all), {}, spec.path);
  }

  /// Of a scaled loss: the states updated from update `first` on keep their values after an
  /// overflow. Right after what makes the new values, so that few of them wait.
  void guard_updates(size_t first) {
    if (!finite_.valid()) return;
    for (size_t k = first; k < graph_.updates().size(); ++k) {
      const StateUpdate update = graph_.updates()[k];
      const std::string path =
          fmt::format("{}/{}", training_.loss_scale->path, graph_.leaf(update.state).name);
      graph_.replace_update(update.state,
                            graph_.add("choose", {update.state, update.value, finite_}, {}, path));
    }
  }

  void close_scaling(const LossScaleSpec& spec) {
    Attributes growth = spec.attributes;
    growth.erase("start");
    const NodeId next = graph_.add_node(op("loss_scale_update"), std::move(growth),
                                        {scale_, steps_, finite_}, spec.path, spec.where);
    graph_.add_update(scale_, graph_.output(next));
    graph_.add_update(steps_, graph_.output(next, 1));
  }

  void add_updates(const OptimiserSpec& optimiser) {
    bool updated = false;
    for (const ValueId parameter : parameters_.at(&optimiser)) {
      if (gradients_.at(parameter).valid()) {
        add_update(optimiser, parameter);
        add_averages(parameter);
        updated = true;
      } else {
        check_unread(optimiser, parameter);
      }
    }
    if (!updated) {
      throw Error(fmt::format("'{}' has nothing to update: its loss depends on no parameter",
                              optimiser.path),
                  optimiser.where);
    }
  }

  void add_update(const OptimiserSpec& optimiser, ValueId parameter) {
    const std::string name = graph_.leaf(parameter).name;
    const std::string path = fmt::format("{}/{}", optimiser.path, name);
    Attributes attributes = optimiser.attributes;
    for (const std::string_view selection : {"parameters", "of"}) attributes.erase(selection);
    ValueId lr = optimiser.lr;
    if (const auto found = factors_.find(name); found != factors_.end()) {
      const Factors& factors = found->second;
      if (factors.weight_decay != 1) {
        if (!attributes.has("weight_decay")) {
          throw Error(fmt::format("a group changes the weight decay of '{}', and '{}' has none",
                                  name, optimiser.op->name),
                      optimiser.where);
        }
        attributes.set("weight_decay", attributes.real("weight_decay") * factors.weight_decay);
      }
      if (factors.lr != 1) {
        Attributes factor;
        factor.set("factor", factors.lr);
        lr = graph_.add("scale", {lr}, std::move(factor), path);
      }
      for (const ValueId schedule : factors.schedules) {
        lr = graph_.add("scale_by", {lr, schedule}, {}, path);
      }
    }
    const size_t first = graph_.updates().size();
    optimiser.op->update({.graph = graph_,
                          .attributes = attributes,
                          .parameter = parameter,
                          .gradient = gradients_.at(parameter),
                          .lr = lr,
                          .inputs = optimiser.inputs,
                          .optimiser = optimiser.path,
                          .path = path,
                          .where = optimiser.where});
    guard_updates(first);
  }

  /// Each average sees what the one before it made of the state.
  void add_averages(ValueId state) {
    const std::string name = graph_.leaf(state).name;
    for (const AverageSpec& spec : training_.averages) {
      const auto update = std::ranges::find(graph_.updates(), state, &StateUpdate::state);
      EXPGRAPH_CHECK(update != graph_.updates().end());
      const ValueId value = update->value;
      const TensorType type = graph_.type(state);
      const ValueId average =
          graph_.add_state(fmt::format("{}/{}", name, spec.op->name), type,
                           {.kind = Initialiser::Kind::copy, .of = name}, false);
      const std::string path = fmt::format("{}/{}", spec.path, name);
      const Averaged made = spec.op->average({.graph = graph_,
                                              .value = value,
                                              .average = average,
                                              .decay = decay_of(spec),
                                              .when = spec.when,
                                              .last = spec.last,
                                              .path = path,
                                              .where = spec.where});
      graph_.replace_update(state, made.value);
      graph_.add_update(average, made.average);
    }
  }

  ValueId decay_of(const AverageSpec& spec) {
    if (spec.decay.valid()) return spec.decay;
    const auto steps = static_cast<double>(spec.attributes.integer("every"));
    Attributes constant;
    constant.set("value", std::pow(spec.attributes.real("decay"), steps));
    constant.set("dtype", std::string(to_string(graph_.type(spec.when).dtype)));
    return graph_.add("constant", {}, std::move(constant), spec.path);
  }

  void check_unread(const OptimiserSpec& optimiser, ValueId parameter) const {
    for (const NodeId reader : readers_[static_cast<size_t>(parameter.index)]) {
      if (!live_[static_cast<size_t>(reader.index)]) continue;
      throw Error(fmt::format("parameter '{}' would never be updated: the loss of '{}' does not "
                              "depend on it",
                              graph_.leaf(parameter).name, optimiser.path),
                  optimiser.where)
          .note(fmt::format("'{}' reads it", graph_.node(reader).path), graph_.node(reader).where);
    }
  }

  Graph graph_;
  const TrainingSpec& training_;
  std::vector<std::vector<NodeId>> readers_;  // of the forward graph
  std::vector<bool> live_;                    // of the forward graph
  std::map<std::string, Factors, std::less<>> factors_;
  std::map<const OptimiserSpec*, std::vector<ValueId>> parameters_;
  std::map<ValueId, ValueId> gradients_;  // by parameter
  ValueId scale_, steps_, finite_;        // of loss scaling; absent without
};

}  // namespace

std::vector<ValueId*> TrainingSpec::values() {
  std::vector<ValueId*> found;
  const auto add = [&](ValueId& value) {
    if (value.valid()) found.push_back(&value);
  };
  for (OptimiserSpec& optimiser : optimisers) {
    add(optimiser.loss);
    add(optimiser.lr);
    for (ValueId& input : optimiser.inputs) add(input);
  }
  for (ParameterGroup& group : groups) add(group.schedule);
  for (AverageSpec& average : averages) {
    add(average.decay);
    add(average.when);
    add(average.last);
  }
  return found;
}

Graph make_step(Graph forward, const TrainingSpec& training) {
  return StepMaker(std::move(forward), training).make();
}

}  // namespace expgraph
