// training_spec_test: groups, several optimisers and averages, in numbers.
#include "core/training_spec.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/compile.h"
#include "tests/support/guarded_run.h"
#include "tests/support/tiny_pipeline.h"
#include "tests/support/training.h"

using namespace expgraph;
using namespace expgraph::test;

namespace {

/// The tiny pipeline with further nodes in `train`, each a line of YAML.
FlatSpec with(std::initializer_list<std::string_view> nodes, std::string_view update = "") {
  std::string text = kTinyPipeline;
  const size_t at = text.find("test:\n");
  for (const std::string_view node : nodes) text.insert(at, fmt::format("    {}\n", node));
  if (!update.empty()) {
    const size_t start = text.find("update: {");
    text.replace(start, text.find('\n', start) - start, update);
  }
  return expand_text(text, "tiny.yaml", ".", {}, op_names());
}

constexpr const char* kPlain = "update: {op: sgd, loss: loss, lr: lr, weight_decay: 0.25}";

const SidePrograms compiled(const FlatSpec& spec) {
  return compile_pipeline(spec, {.backend = "reference"}).train;
}

Outcome trained(const FlatSpec& spec, int steps) {
  const SidePrograms side = compiled(spec);
  RandomTraining training(load_backend("reference"));
  training.run(side.step.graph, side.step.plan, steps, "");
  return training.outcome();
}

/// Elements of a state before and after one step, as differences.
std::vector<double> moved(const FlatSpec& spec, const std::string& state) {
  const Outcome before = trained(spec, 0), after = trained(spec, 1);
  const Tensor& a = before.at("state " + state);
  const Tensor& b = after.at("state " + state);
  std::vector<double> out;
  for (int64_t i = 0; i < a.type.elements(); ++i) out.push_back(b.at(i) - a.at(i));
  return out;
}

size_t nodes_of(const Graph& graph, std::string_view op, std::string_view path) {
  return static_cast<size_t>(std::ranges::count_if(graph.nodes(), [&](const Node& node) {
    return node.op->name == op && node.path.starts_with(path);
  }));
}

}  // namespace

TEST_CASE("a group's factors multiply the learning rate and the weight decay of what it selects") {
  const std::string bias = "train/net/bn/bias", weights = "train/net/linear/w";
  const FlatSpec plain = with({}, kPlain);
  const FlatSpec grouped =
      with({R"(biases: {op: parameter_group, parameters: "**/bias", of: batch_norm, lr: 64})",
            R"(rest: {op: parameter_group, parameters: "**/linear/w", lr: 0.5, weight_decay: 0})"},
           kPlain);
  const FlatSpec undecayed = with({}, "update: {op: sgd, loss: loss, lr: lr}");
  const std::vector<double> bias_before = moved(plain, bias), bias_after = moved(grouped, bias);
  REQUIRE(bias_before.size() == bias_after.size());
  for (size_t i = 0; i < bias_before.size(); ++i) {
    CHECK(bias_after[i] == doctest::Approx(64 * bias_before[i]).epsilon(1e-4));
  }
  const std::vector<double> half = moved(undecayed, weights), whole = moved(grouped, weights);
  double largest = 0;
  for (size_t i = 0; i < half.size(); ++i) {
    CHECK(whole[i] == doctest::Approx(half[i] / 2).epsilon(1e-3));
    largest = std::max(largest, std::abs(half[i]));
  }
  CHECK(largest > 1e-4);
}

TEST_CASE("factors of several groups multiply") {
  const std::string weights = "train/net/linear/w";
  const FlatSpec once = with({R"(a: {op: parameter_group, parameters: "**", lr: 8})"}, kPlain);
  const FlatSpec twice = with({R"(a: {op: parameter_group, parameters: "**/linear/*", lr: 2})",
                               R"(b: {op: parameter_group, parameters: "**/w", lr: 4})"},
                              kPlain);
  CHECK(moved(once, weights) == moved(twice, weights));
}

TEST_CASE("a group of factor 0 is frozen: no gradient, no update, no momentum") {
  const FlatSpec frozen = with({R"(a: {op: parameter_group, parameters: "**/conv1/w", lr: 0})"});
  const Graph graph = compiled(frozen).step.graph, free = compiled(with({})).step.graph;
  CHECK(nodes_of(free, "conv2d_backward_weights", "train/net/conv1") == 1);
  CHECK(nodes_of(graph, "conv2d_backward_weights", "train/net/conv1") == 0);
  CHECK(free.find_leaf("train/net/conv1/w/momentum") != nullptr);
  CHECK(graph.find_leaf("train/net/conv1/w/momentum") == nullptr);
  for (const double change : moved(frozen, "train/net/conv1/w")) CHECK(change == 0);
}

TEST_CASE("a scheduled factor of 0 stops a parameter for its time") {
  const FlatSpec spec = with({R"(a: {op: parameter_group, parameters: "**/conv1/w", schedule: s})",
                              "s: {op: piecewise_constant, epochs: [0, 1], values: [1, 0]}"});
  const Graph graph = compiled(spec).step.graph;
  CHECK(nodes_of(graph, "scale_by", "train/update/train/net/conv1/w") == 1);
  // RandomTraining feeds 0.1 to every schedule, so lr * factor is 0.01.
  const std::vector<double> slow = moved(spec, "train/net/conv1/w");
  const std::vector<double> fast = moved(with({}), "train/net/conv1/w");
  for (size_t i = 0; i < slow.size(); ++i) {
    CHECK(slow[i] == doctest::Approx(fast[i] / 10).epsilon(1e-3));
  }
}

TEST_CASE("two optimisers share one backward pass and update each parameter once") {
  const FlatSpec spec =
      with({R"(heads: {op: sgd, parameters: "**/linear/*", loss: loss, lr: lr})"});
  const Graph graph = compiled(spec).step.graph, one = compiled(with({})).step.graph;
  CHECK(nodes_of(graph, "conv2d_backward_weights", "") == 2);
  CHECK(nodes_of(graph, "sgd_update", "") == nodes_of(one, "sgd_update", ""));
  CHECK(nodes_of(graph, "sgd_update", "train/heads/") == 2);
  CHECK(graph.find_leaf("train/net/linear/w/momentum") == nullptr);
}

namespace {

/// Every parameter after some steps of RandomTraining, whose every schedule is 0.1.
void check_same_training(std::string_view one, std::string_view other) {
  const Outcome a = trained(with({}, one), 3), b = trained(with({}, other), 3);
  size_t compared = 0;
  for (const auto& [name, tensor] : a) {
    if (!b.contains(name)) continue;
    CHECK_MESSAGE(difference(tensor, b.at(name), 1e-4, 1e-2) == "", name);
    ++compared;
  }
  CHECK(compared >= 8);
}

}  // namespace

TEST_CASE("sgd with schedules does what sgd with their values does") {
  check_same_training(
      "update: {op: sgd, loss: loss, lr: lr, momentum_schedule: lr, weight_decay: 0.25}",
      "update: {op: sgd, loss: loss, lr: lr, momentum: 0.1, weight_decay: 0.25}");
  check_same_training(
      "update: {op: sgd, loss: loss, lr: lr, momentum_schedule: lr, nesterov: true}",
      "update: {op: sgd, loss: loss, lr: lr, momentum: 0.1, nesterov: true}");
  check_same_training(
      "update: {op: sgd, loss: loss, lr: lr, momentum: 0.9, weight_decay: 0.25, "
      "weight_decay_schedule: lr}",
      "update: {op: sgd, loss: loss, lr: lr, momentum: 0.9, weight_decay: 0.025}");
}

TEST_CASE("adam counts its steps once, and takes beta1 from a schedule") {
  const FlatSpec spec = with({}, "update: {op: adam, loss: loss, lr: lr, momentum: lr}");
  const Outcome after = trained(spec, 3);
  CHECK(after.at("state train/update/steps").at(0) == 3);
  CHECK(nodes_of(compiled(spec).step.graph, "adam_update", "") == 6);
  CHECK(nodes_of(compiled(spec).step.graph, "add", "train/update") == 1);
  check_same_training("update: {op: adam, loss: loss, lr: lr, momentum: lr}",
                      "update: {op: adam, loss: loss, lr: lr, beta1: 0.1}");
}

TEST_CASE("muon updates filters and sgd the rest; a group cannot give muon a weight decay") {
  const FlatSpec spec =
      with({R"(filters: {op: muon, parameters: "**/conv*/w", loss: loss, lr: lr})"});
  const Graph graph = compiled(spec).step.graph;
  CHECK(nodes_of(graph, "muon_update", "train/filters/") == 2);
  CHECK(nodes_of(graph, "sgd_update", "train/update/") == 4);
  const Outcome after = trained(spec, 2);
  CHECK(std::isfinite(after.at("state train/net/conv1/w").at(0)));
  const FlatSpec decayed =
      with({R"(filters: {op: muon, parameters: "**/conv*/w", loss: loss, lr: lr})",
            R"(all: {op: parameter_group, parameters: "**", weight_decay: 2})"});
  CHECK_THROWS_WITH_AS(
      compiled(decayed),
      "a group changes the weight decay of 'train/net/conv1/w', and 'muon' has none", Error);
}

namespace {

/// One state w of loss w * w / 2 (so its gradient is w) with an average, fed step by step.
class OneState {
 public:
  explicit OneState(std::string_view average, double decay = 0) {
    Graph forward;
    const ValueId w = forward.add_state("w", {DType::f32, {1, 2}}, {.a = 1}, true);
    const ValueId label = forward.add_input("label", {DType::i32, {1}});
    const ValueId loss = forward.add("cross_entropy", {w, label}, {}, "loss");
    forward.add_result("loss", loss);
    const auto scalar = [&](const char* name) { return forward.add_input(name, {DType::f32, {}}); };
    const ValueId lr = scalar("lr");
    Attributes attributes;
    attributes.set("every", int64_t{2});
    if (average == "ema") attributes.set("decay", decay);
    AverageSpec spec{.path = "average", .op = &op(average)};
    spec.attributes = complete_attributes(op(average), attributes);
    if (average == "lookahead") spec.decay = scalar("decay");
    spec.when = scalar("when");
    spec.last = scalar("last");
    const TrainingSpec training{.optimisers = {{.path = "update",
                                                .op = &op("sgd"),
                                                .attributes = complete_attributes(op("sgd"), {}),
                                                .loss = loss,
                                                .lr = lr}},
                                .averages = {spec}};
    graph_ = make_step(forward, training);
    plan_ = plan_memory(graph_, target("reference"), true);
    program_ = load_backend("reference").compile(graph_, plan_, {});
    store_ = load_backend("reference").make_store();
    const std::string averaged = fmt::format("w/{}", average);
    CHECK(graph_.find_leaf(averaged)->initialiser.of == "w");
    for (const std::string& name : {std::string("w"), averaged}) {
      store_->create(name, {DType::f32, {1, 2}});
      set(name, 1);
    }
  }

  void step(float lr, float decay, float when, float last) {
    int32_t label = 0;
    std::vector<Binding> inputs;
    for (const Leaf& leaf : graph_.leaves()) {
      if (leaf.kind != LeafKind::input) continue;
      void* data = leaf.name == "label"   ? static_cast<void*>(&label)
                   : leaf.name == "lr"    ? static_cast<void*>(&lr)
                   : leaf.name == "decay" ? static_cast<void*>(&decay)
                   : leaf.name == "when"  ? static_cast<void*>(&when)
                                          : static_cast<void*>(&last);
      inputs.push_back({leaf.name, {graph_.type(leaf.value), data}});
    }
    program_->run(inputs, {}, *store_);
  }

  double get(const std::string& name) const {
    float values[2];
    store_->read(name, {{DType::f32, {1, 2}}, values});
    return values[0];
  }
  void set(const std::string& name, float value) {
    float values[2] = {value, 0};
    store_->write(name, {{DType::f32, {1, 2}}, values});
  }

 private:
  Graph graph_;
  MemoryPlan plan_;
  std::unique_ptr<Executable> program_;
  std::unique_ptr<StateStore> store_;
};

/// Gradient of the first logit: softmax - 1.
double gradient(double first, double second) {
  return std::exp(first) / (std::exp(first) + std::exp(second)) - 1;
}

}  // namespace

TEST_CASE("lookahead: every few steps both become the average, at the end the net alone does") {
  OneState state("lookahead");
  double w[2] = {1, 0}, slow[2] = {1, 0};
  for (int t = 1; t <= 7; ++t) {
    const double lr = 0.5, decay = 0.1 * t;
    const bool when = t % 3 == 0, last = when || t == 7;
    const double g = gradient(w[0], w[1]);
    w[0] -= lr * g;
    w[1] += lr * g;
    for (int i = 0; i < 2; ++i) {
      if (when) slow[i] = decay * slow[i] + (1 - decay) * w[i];
      if (last) w[i] = slow[i];
    }
    state.step(float(lr), float(decay), when ? 1 : 0, last ? 1 : 0);
    CHECK(state.get("w") == doctest::Approx(w[0]).epsilon(1e-5));
    CHECK(state.get("w/lookahead") == doctest::Approx(slow[0]).epsilon(1e-5));
  }
  CHECK(state.get("w") == state.get("w/lookahead"));
}

TEST_CASE("ema: decay to the power of its steps, the net goes its own way") {
  OneState state("ema", 0.9);
  double w[2] = {1, 0}, average = 1;
  for (int t = 1; t <= 6; ++t) {
    const double g = gradient(w[0], w[1]);
    w[0] -= 0.5 * g;
    w[1] += 0.5 * g;
    if (t % 2 == 0) average = 0.81 * average + 0.19 * w[0];
    state.step(0.5f, 0, t % 2 == 0 ? 1 : 0, 0);
    CHECK(state.get("w") == doctest::Approx(w[0]).epsilon(1e-5));
    CHECK(state.get("w/ema") == doctest::Approx(average).epsilon(1e-5));
  }
  CHECK(state.get("w/ema") != state.get("w"));
}

TEST_CASE("averages keep parameters and running statistics; evaluation reads those of ema") {
  const CompiledPipeline pipeline =
      compile_pipeline(with({"average: {op: ema, decay: 0.99, every: 5, first: 1}",
                             "slow: {op: lookahead, decay: lr, every: 5}"}),
                       {.backend = "reference"});
  size_t states = 0, averages = 0;
  for (const Leaf& leaf : pipeline.train.step.graph.leaves()) {
    averages += leaf.name.ends_with("/ema") + leaf.name.ends_with("/lookahead");
    states += leaf.kind == LeafKind::state;
  }
  CHECK(states - averages == 2 * 6 + 2);  // parameters with momentum, statistics
  CHECK(averages == 2 * (6 + 2));
  size_t read = 0;
  for (const Leaf& leaf : pipeline.test->step.graph.leaves()) {
    if (leaf.kind != LeafKind::state) continue;
    CHECK(leaf.name.ends_with("/ema"));
    ++read;
  }
  CHECK(read == 8);
}
