// training_spec: optimiser, group, average and loss_scale nodes -> what a training says beside its
// forward graph.
#include "core/training_spec.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "core/spec/selector.h"
#include "core/support/suggest.h"

namespace expgraph {
namespace {

std::string_view owner_of(std::string_view state) { return state.substr(0, state.rfind('/')); }

bool takes_rest(const Attributes& attributes) {
  return attributes.text("parameters").empty() && attributes.text("of").empty();
}

const Location& place_of(const SpecNode& node, std::string_view attribute) {
  const AttributeSpec* given = node.find(attribute);
  return given != nullptr ? given->value.where : node.where;
}

std::vector<std::string> parameters_of(const Graph& graph) {
  std::vector<std::string> names;
  for (const Leaf& leaf : graph.leaves()) {
    if (leaf.trainable) names.push_back(leaf.name);
  }
  return names;
}

}  // namespace

TrainingBuilder::Read TrainingBuilder::read(const Instance& instance, const OpSchema& op) const {
  try {
    Read out{typed_attributes(*instance.node, op), builder_.wired(instance, op)};
    std::vector<const TensorType*> types;
    for (const ValueId id : out.inputs) {
      types.push_back(id.valid() ? &builder_.graph().type(id) : nullptr);
    }
    op.infer({op, types, out.attributes});
    return out;
  } catch (const Error& error) {
    throw located(error, *instance.node);
  }
}

void TrainingBuilder::add_optimiser(const Instance& instance, const OpSchema& op) {
  Read read = this->read(instance, op);
  const bool rest = takes_rest(read.attributes);
  for (const OptimiserSpec& other : out_.optimisers) {
    if (!rest || !other.takes_rest) continue;
    throw located(
        Error(fmt::format("'train' has two optimisers: '{}' and '{}'", other.path, instance.path()),
              instance.node->where)
            .note("one of them must say which 'parameters' it updates"),
        *instance.node);
  }
  const auto input = [&](std::string_view name) {
    return read.inputs[static_cast<size_t>(op.input_index(name))];
  };
  out_.optimisers.push_back({.path = instance.path(),
                             .op = &op,
                             .attributes = std::move(read.attributes),
                             .loss = input("loss"),
                             .lr = input("lr"),
                             .inputs = read.inputs,
                             .takes_rest = rest,
                             .parameters = {},
                             .where = instance.node->where});
  optimisers_.push_back(instance.node);
}

void TrainingBuilder::add_group(const Instance& instance, const OpSchema& op) {
  Read read = this->read(instance, op);
  out_.groups.push_back({.path = instance.path(),
                         .parameters = {},
                         .lr = read.attributes.real("lr"),
                         .weight_decay = read.attributes.real("weight_decay"),
                         .schedule = read.inputs[0],
                         .where = instance.node->where});
  groups_.emplace_back(instance.node, std::move(read.attributes));
}

void TrainingBuilder::add_average(const Instance& instance, const OpSchema& op) {
  Read read = this->read(instance, op);
  for (const AverageSpec& other : out_.averages) {
    if (other.op != &op) continue;
    throw located(Error(fmt::format("'train' has two nodes of op '{}': '{}' and '{}'", op.name,
                                    other.path, instance.path()),
                        instance.node->where),
                  *instance.node);
  }
  AverageSpec average{.path = instance.path(),
                      .op = &op,
                      .attributes = std::move(read.attributes),
                      .decay = read.inputs.empty() ? ValueId() : read.inputs[0],
                      .when = {},
                      .last = {},
                      .where = instance.node->where};
  average.when = add_every(average.path + "/when", average, false);
  average.last = add_every(average.path + "/last", average, true);
  out_.averages.push_back(std::move(average));
}

void TrainingBuilder::add_loss_scale(const Instance& instance, const OpSchema& op) {
  Read read = this->read(instance, op);
  if (out_.loss_scale) {
    throw located(Error(fmt::format("'train' has two nodes of op '{}': '{}' and '{}'", op.name,
                                    out_.loss_scale->path, instance.path()),
                        instance.node->where),
                  *instance.node);
  }
  out_.loss_scale = {.path = instance.path(),
                     .attributes = std::move(read.attributes),
                     .where = instance.node->where};
}

ValueId TrainingBuilder::add_every(const std::string& leaf, const AverageSpec& average, bool last) {
  Attributes every;
  every.set("steps", average.attributes.integer("every"));
  every.set("first", average.attributes.integer("first"));
  every.set("last", last);
  const OpSchema& schedule = op("every");
  schedules_.push_back(
      {leaf, &schedule, complete_attributes(schedule, std::move(every)), average.where});
  return builder_.graph().add_input(leaf, {DType::f32, {}});
}

std::vector<std::string> TrainingBuilder::selected(const SpecNode& node,
                                                   const Attributes& attributes) const {
  const std::string& text = attributes.text("parameters");
  const std::string& of = attributes.text("of");
  const Glob glob = text.empty() ? Glob() : Glob(text, place_of(node, "parameters"));
  std::vector<std::string> on_path, found;
  for (const std::string& name : parameters_of(builder_.graph())) {
    if (!glob.matches(name)) continue;
    on_path.push_back(name);
    const SpecNode* owner = spec_.find(owner_of(name));
    EXPGRAPH_CHECK(owner != nullptr);
    if (of.empty() || owner->op == of) found.push_back(name);
  }
  if (found.empty()) nothing_selected(node, attributes, on_path);
  return found;
}

void TrainingBuilder::nothing_selected(const SpecNode& node, const Attributes& attributes,
                                       const std::vector<std::string>& on_path) const {
  constexpr size_t shown = 6;
  const std::string& of = attributes.text("of");
  Error error(fmt::format("'{}' selects no parameter", node.path),
              place_of(node, on_path.empty() ? "parameters" : "of"));
  if (!on_path.empty()) {
    const std::string hint = did_you_mean(of, op_names().names());
    if (find_op(of) == nullptr) {
      error.note(fmt::format("there is no operator '{}'{}", of, hint.empty() ? "" : ", " + hint));
    } else {
      error.note(fmt::format("none of the parameters with such a path is of an op '{}'", of));
    }
    throw located(error, node);
  }
  std::vector<std::string> names = parameters_of(builder_.graph());
  const std::string hint = did_you_mean(attributes.text("parameters"), names);
  if (!hint.empty()) throw located(error.note(hint), node);
  if (names.size() > shown) {
    names.resize(shown);
    names.emplace_back("...");
  }
  throw located(error.note(fmt::format("the parameters are {}", fmt::join(names, ", "))), node);
}

void TrainingBuilder::check_cover() const {
  std::map<std::string_view, const OptimiserSpec*> updates;
  for (size_t k = 0; k < out_.optimisers.size(); ++k) {
    const OptimiserSpec& optimiser = out_.optimisers[k];
    for (const std::string& name : optimiser.parameters) {
      const auto [other, is_new] = updates.emplace(name, &optimiser);
      if (is_new) continue;
      throw located(Error(fmt::format("parameter '{}' is updated by '{}' and by '{}'", name,
                                      other->second->path, optimiser.path),
                          place_of(*optimisers_[k], "parameters")),
                    *optimisers_[k]);
    }
  }
  if (std::ranges::any_of(out_.optimisers, &OptimiserSpec::takes_rest)) return;
  for (const std::string& name : parameters_of(builder_.graph())) {
    if (updates.contains(name)) continue;
    throw located(Error(fmt::format("no optimiser updates parameter '{}'", name),
                        out_.optimisers.back().where),
                  *optimisers_.back());
  }
}

std::optional<TrainingSpec> TrainingBuilder::finish() {
  if (out_.optimisers.empty()) return std::nullopt;
  for (size_t k = 0; k < out_.groups.size(); ++k) {
    out_.groups[k].parameters = selected(*groups_[k].first, groups_[k].second);
  }
  for (size_t k = 0; k < out_.optimisers.size(); ++k) {
    OptimiserSpec& optimiser = out_.optimisers[k];
    if (optimiser.takes_rest) continue;
    optimiser.parameters = selected(*optimisers_[k], optimiser.attributes);
  }
  check_cover();
  return std::move(out_);
}

}  // namespace expgraph
