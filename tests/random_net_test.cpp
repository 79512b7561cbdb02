// random_net: random valid nets, compiled for every target and run on every backend, train as the
// plain program does in double.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/ir/op_schema.h"
#include "core/passes/passes.h"
#include "core/passes/plan_memory.h"
#include "tests/support/training.h"

using namespace expgraph;
using namespace expgraph::test;

namespace {

constexpr int kNets = 60;
constexpr double kTolerance = 1e-3;
constexpr double kFloor = 1e-2;  ///< gradients that cancel to nothing are rounding

struct Net {
  Graph graph{"random"};
  TrainingSpec training;
};

/// Draws a net: convolutions, normalisations, pools, branches that meet again or end beside each
/// other.
class Draw {
 public:
  explicit Draw(uint32_t seed) : random_(seed) {}

  Net net() {
    const int64_t batch = pick({2, 3, 4, 5});
    maps_ = {net_.graph.add_input(
        "images", {DType::f32, {batch, pick({1, 3, 4}), pick({4, 5, 8}), pick({4, 7, 8})}})};
    const ValueId label = net_.graph.add_input("label", {DType::i32, {batch}});
    const ValueId lr = net_.graph.add_input("lr", {DType::f32, {}});
    convolution();
    for (int64_t left = pick({4, 8, 12}); left > 0; --left) layer();
    const ValueId classes = add("linear", {all_ends()}, {{"features", int64_t{10}}});
    const ValueId logits = add("scale", {classes}, {{"factor", 0.125}});
    const ValueId loss = add("cross_entropy", {logits, label},
                             {{"reduction", std::string(coin() ? "mean" : "sum")},
                              {"label_smoothing", coin() ? 0.0 : 0.2}});
    net_.graph.add_result("loss", loss);
    net_.graph.add_result("correct", add("correct", {logits, label}, {{"k", pick({1, 3})}}));
    Attributes sgd;
    sgd.set("momentum", coin() ? 0.9 : 0.0);
    sgd.set("weight_decay", coin() ? 5e-4 : 0.0);
    sgd.set("nesterov", sgd.real("momentum") > 0 && coin());
    net_.training.optimisers = {{.path = "update",
                                 .op = &op("sgd"),
                                 .attributes = complete_attributes(op("sgd"), sgd),
                                 .loss = loss,
                                 .lr = lr}};
    if (coin()) group();
    if (coin()) average("lookahead", lr);
    if (coin()) average("ema");
    if (coin()) std::ranges::reverse(net_.training.averages);
    return std::move(net_);
  }

 private:
  using Named = std::vector<std::pair<std::string, AttributeValue>>;

  int64_t pick(std::initializer_list<int64_t> from) {
    return from.begin()[random_() % from.size()];
  }
  bool coin() { return random_() % 2 == 0; }
  const Shape& shape(ValueId value) const { return net_.graph.type(value).shape; }
  /// Mostly the newest map, else an older one: a branch.
  ValueId some_map() { return random_() % 3 > 0 ? maps_.back() : maps_[random_() % maps_.size()]; }

  void convolution() {
    const int64_t kernel = pick({1, 3});
    maps_.push_back(add("conv2d", {some_map()},
                        {{"channels", pick({3, 4, 16})},
                         {"kernel", std::vector<int64_t>{kernel}},
                         {"padding", std::vector<int64_t>{kernel / 2}},
                         {"stride", std::vector<int64_t>{pick({1, 1, 2})}},
                         {"bias", coin()}}));
  }

  void layer() {
    const ValueId x = some_map();
    switch (random_() % 8) {
      case 0:
        return convolution();
      case 1:
        return maps_.push_back(activation(normalisation(x)));
      case 2:
        return maps_.push_back(activation(x));
      case 3:
        return maps_.push_back(
            add("scale", {x}, {{"factor", static_cast<double>(pick({-1, 1, 2})) / 2}}));
      case 4:
        return maps_.push_back(normalisation(x));
      case 5:
        return pool(x);
      default:
        return join(x);
    }
  }

  /// Every third parameter has a learning rate and weight decay of its own.
  void group() {
    ParameterGroup group{.path = "group", .lr = 4, .weight_decay = 0.5};
    size_t seen = 0;
    for (const Leaf& leaf : net_.graph.leaves())
      if (leaf.trainable && seen++ % 3 == 0) group.parameters.push_back(leaf.name);
    net_.training.groups.push_back(std::move(group));
  }

  void average(std::string_view name, ValueId decay = {}) {
    Attributes attributes;
    if (!decay.valid()) attributes.set("decay", 0.75);
    const std::string path(name);
    net_.training.averages.push_back(
        {.path = path,
         .op = &op(name),
         .attributes = complete_attributes(op(name), attributes),
         .decay = decay,
         .when = net_.graph.add_input(path + "/when", {DType::f32, {}}),
         .last = net_.graph.add_input(path + "/last", {DType::f32, {}})});
  }

  ValueId activation(ValueId x) {
    const int64_t kind = pick({0, 0, 1, 2});
    if (kind == 1) return add("celu", {x}, {{"alpha", coin() ? 0.25 : 1.0}});
    return add(kind == 0 ? "relu" : "gelu", {x}, {});
  }

  ValueId normalisation(ValueId x) {
    const Shape& map = shape(x);
    const bool halves = map[0] % 2 == 0 && map[2] * map[3] >= 8 && coin();
    return add("batch_norm", {x},
               {{"affine", std::string(coin()   ? "both"
                                       : coin() ? "bias"
                                                : "none")},
                {"splits", halves ? int64_t{2} : int64_t{1}}});
  }

  void pool(ValueId x) {
    const int64_t size = pick({2, 3});
    if (std::min(shape(x)[2], shape(x)[3]) < size) return;
    const int64_t padding = size == 3 ? pick({0, 1}) : 0;
    const ValueId y = add(coin() ? "max_pool" : "average_pool", {x},
                          {{"size", std::vector<int64_t>{size}},
                           {"stride", std::vector<int64_t>{2}},
                           {"padding", std::vector<int64_t>{padding}}});
    maps_.push_back(coin() ? add("relu", {y}, {}) : y);
  }

  /// add or concat with a map that fits, if one does.
  void join(ValueId x) {
    const ValueId other = maps_[random_() % maps_.size()];
    Shape fit = shape(other);
    fit[1] = shape(x)[1];
    if (fit != shape(x)) return;
    const bool equal = shape(other) == shape(x);
    maps_.push_back(equal && coin() ? add("add", {x, other}, {}) : add("concat", {x, other}, {}));
  }

  /// Every map that nothing reads, pooled but for the newest, side by side: no parameter is idle.
  ValueId all_ends() {
    const auto consumers = net_.graph.consumers();
    std::vector<ValueId> ends{add("flatten", {maps_.back()}, {})};
    for (ValueId map : maps_) {
      if (map == maps_.back() || !consumers[static_cast<size_t>(map.index)].empty()) continue;
      const ValueId pooled =
          add(coin() ? "max_pool" : "average_pool", {map}, {{"size", std::vector<int64_t>{0}}});
      ends.push_back(add("flatten", {pooled}, {}));
    }
    return ends.size() == 1 ? ends[0] : add("concat", ends, {});
  }

  /// A node, its unwired inputs made as states by the operator's rules.
  ValueId add(std::string_view name, std::vector<ValueId> inputs, Named named) {
    const OpSchema& schema = op(name);
    const std::string path = fmt::format("{}{}", name, net_.graph.nodes().size());
    Attributes given;
    for (auto& [attribute, value] : named) given.set(attribute, value);
    const Attributes attributes = complete_attributes(schema, given);
    std::vector<const TensorType*> types;
    for (ValueId input : inputs) types.push_back(&net_.graph.type(input));
    types.resize(std::max(types.size(), schema.inputs.size()));
    const InferContext context{schema, types, attributes};
    std::vector<std::pair<size_t, StateRule>> rules;
    for (size_t k = inputs.size(); k < schema.inputs.size(); ++k)
      if (const auto rule = schema.state ? schema.state(context, k) : std::nullopt)
        rules.emplace_back(k, *rule);
    inputs.resize(types.size());
    for (const auto& [k, rule] : rules)
      inputs[k] =
          net_.graph.add_state(fmt::format("{}/{}", path, schema.inputs[k].name), rule.type,
                               rule.initialiser, schema.inputs[k].role == InputRole::parameter);
    const NodeId node = net_.graph.add_node(schema, given, inputs, path);
    for (size_t k = 0; k < schema.outputs.size(); ++k)
      if (!schema.outputs[k].updates.empty())
        net_.graph.add_update(
            inputs[static_cast<size_t>(schema.input_index(schema.outputs[k].updates))],
            net_.graph.output(node, static_cast<int>(k)));
    return net_.graph.output(node);
  }

  std::mt19937 random_;
  Net net_;
  std::vector<ValueId> maps_;  // [N, C, H, W], oldest first
};

Outcome train(const Graph& step, const MemoryPlan& plan, const std::string& backend) {
  RandomTraining training(load_backend(backend), 0.01f);
  training.run(step, plan, 2, "step ");
  return training.outcome();
}

Graph compile(const Net& net, const Target& goal, bool optimise) {
  return run_passes(net.graph, &net.training, goal, {.simplify = optimise, .fuse = optimise});
}

}  // namespace

TEST_CASE("random nets train on every target and backend as plainly in double") {
  const Target& reference = target("reference");
  std::map<std::string, int> ops;
  for (uint32_t seed = 0; seed < kNets; ++seed) {
    const Net net = Draw(seed).net();
    const Graph exact = to_double(compile(net, reference, false));
    const Outcome plain = train(exact, plan_memory(exact, reference, false), "reference");
    for (const std::string& name : target_names()) {
      const Graph step = compile(net, target(name), true);
      const MemoryPlan plan = plan_memory(step, target(name));
      verify_plan(step, plan);
      for (const Node& node : step.nodes())
        ++ops[node.body ? node.attributes.text("kind") : std::string(node.op->name)];
      const auto check = [&](const std::string& backend) {
        const std::string how =
            first_difference(plain, train(step, plan, backend), kTolerance, kFloor);
        CHECK_MESSAGE(how == "", "net ", seed, ", target ", name, " on ", backend, ": ", how);
      };
      check("reference");
      const std::vector<std::string> there = backend_names();
      if (name != "reference" && std::ranges::find(there, name) != there.end()) check(name);
    }
  }
  for (const char* kind : {"sgd_update_average", "sgd_update_lookahead", "lookahead"})
    CHECK_MESSAGE(ops[kind] > 0, kind);
  for (const FusionPattern& pattern : target("onednn").fusions)
    if (!pattern.name.starts_with("batch_norm_inference") &&  // of evaluation
        pattern.name != "gelu_backward_sum")  // of a convolution whose filters are frozen
      CHECK_MESSAGE(ops[pattern.name] > 0, pattern.name);
}

TEST_CASE("random nets train to the same bits within budgets of memory") {
  std::set<std::string> again;
  int tried = 0;
  for (uint32_t seed = 0; seed < kNets; ++seed) {
    Net net = Draw(seed).net();
    net.training.averages.clear();  // their states leave a budget less to lower
    for (const std::string name : {"onednn", "reference"}) {
      const Graph step = compile(net, target(name), true);
      const MemoryPlan plan = plan_memory(step, target(name));
      const Outcome usual = train(step, plan, name);
      for (const int64_t percent : {95, 85, 70}) {
        const PassOptions options{
            .memory = MemoryBudget{.bytes = plan.peak_bytes() * percent / 100, .text = "so much"}};
        Graph within;
        try {
          within = run_passes(net.graph, &net.training, target(name), options);
        } catch (const Error&) {
          continue;  // it cannot keep to so little
        }
        ++tried;
        const MemoryPlan small = plan_memory(within, target(name));
        verify_plan(within, small);
        CHECK(small.peak_bytes() <= options.memory->bytes);
        for (const Node& node : within.nodes())
          if (node.path.ends_with("/recompute")) again.emplace(display_name(node));
        const std::string how = first_difference(usual, train(within, small, name), 0);
        CHECK_MESSAGE(how == "", "net ", seed, ", ", percent, " % on ", name, ": ", how);
      }
    }
  }
  CHECK(tried > kNets);
  for (const char* op : {"add", "average_pool", "batch_norm_apply", "concat", "conv2d", "max_pool"})
    CHECK_MESSAGE(again.contains(op), op);
}

TEST_CASE("a memory plan in which all values lie over each other shows") {
  const Target& reference = target("reference");
  const Graph step = compile(Draw(0).net(), reference, true);
  MemoryPlan plan = plan_memory(step, reference);
  const Outcome right = train(step, plan, "reference");
  CHECK(first_difference(right, train(step, plan, "reference"), 0) == "");
  for (Placement& place : plan.placements) place.offset = 0;
  plan.share = false;  // or else add_scratch moves them
  CHECK(first_difference(right, train(step, plan, "reference"), kTolerance, kFloor) != "");
}
