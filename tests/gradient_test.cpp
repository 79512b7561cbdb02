// gradient: the gradient rule of every differentiable operator, run on reference in double, against
// central finite differences of a random linear functional of its first output.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <random>

#include "core/passes/passes.h"
#include "tests/support/op_case.h"

using namespace expgraph;
using namespace expgraph::test;

namespace {

using Random = std::mt19937_64;

constexpr int kCases = 12;
constexpr double kStep = 1e-5;
constexpr double kTolerance = 1e-7;

int64_t pick(Random& random, std::initializer_list<int64_t> from) {
  return from.begin()[random() % from.size()];
}
bool coin(Random& random) { return random() % 2 == 0; }
TensorType f64(Shape shape) { return {DType::f64, std::move(shape)}; }

Shape any_images(Random& random) {
  return {pick(random, {1, 2, 3}), pick(random, {1, 2, 3}), pick(random, {4, 5, 7}),
          pick(random, {4, 6, 7})};
}

/// An operator's inputs and attributes; labels lie below `classes`.
struct Sample {
  std::vector<std::optional<TensorType>> inputs;
  Attributes attributes;
  int64_t classes = 0;
};

void set_windows(Sample& sample, Random& random, const char* size) {
  sample.attributes.set(size, std::vector<int64_t>{pick(random, {1, 2, 3}), pick(random, {2, 3})});
  sample.attributes.set("stride", std::vector<int64_t>{pick(random, {1, 2, 3})});
  sample.attributes.set(
      "padding",
      std::vector<int64_t>{size[0] == 'k' ? pick(random, {0, 1, 2}) : 0, pick(random, {0, 1})});
}

Sample elementwise(Random& random) { return {{f64(any_images(random))}}; }

Sample add(Random& random) {
  const TensorType x = f64(any_images(random));
  return {std::vector<std::optional<TensorType>>(2 + random() % 3, x)};
}

Sample celu(Random& random) {
  Sample sample = elementwise(random);
  sample.attributes.set("alpha", static_cast<double>(pick(random, {1, 3, 4})) / 4);
  return sample;
}

Sample cast(Random& random) {
  Sample sample = elementwise(random);
  sample.attributes.set("dtype", std::string("f64"));
  return sample;
}

Sample scale(Random& random) {
  Sample sample = elementwise(random);
  sample.attributes.set("factor", static_cast<double>(pick(random, {-3, 2, 5})) / 4);
  return sample;
}

Sample reshape(Random& random) {
  Sample sample = elementwise(random);
  const Shape& x = sample.inputs[0]->shape;
  sample.attributes.set("shape", std::vector<int64_t>{x[0] * x[1], x[2], x[3]});
  return sample;
}

Sample concat(Random& random) {
  const int64_t axis = pick(random, {0, 1, 2, 3});
  Sample sample;
  Shape shape = any_images(random);
  for (int k = 0; k < 3; ++k) {
    shape[static_cast<size_t>(axis)] = pick(random, {1, 2, 3});
    sample.inputs.push_back(f64(shape));
  }
  sample.attributes.set("axis", axis);
  return sample;
}

Sample linear(Random& random) {
  const int64_t n = pick(random, {1, 3, 5}), k = pick(random, {1, 4, 7}),
                m = pick(random, {1, 3, 6});
  const bool bias = coin(random);
  Sample sample{{f64({n, k}), f64({m, k}), std::nullopt}};
  if (bias) sample.inputs[2] = f64({m});
  sample.attributes.set("features", m);
  sample.attributes.set("bias", bias);
  return sample;
}

Sample conv2d(Random& random) {
  const Shape x = any_images(random);
  const int64_t channels = pick(random, {1, 2, 3});
  const bool bias = coin(random);
  Sample sample{{f64(x), std::nullopt, std::nullopt}};
  set_windows(sample, random, "kernel");
  const std::vector<int64_t> kernel = sample.attributes.integers("kernel");
  sample.inputs[1] = f64({channels, x[1], kernel[0], kernel[1]});
  if (bias) sample.inputs[2] = f64({channels});
  sample.attributes.set("channels", channels);
  sample.attributes.set("bias", bias);
  return sample;
}

Sample pool(Random& random) {
  Sample sample = elementwise(random);
  if (random() % 4 == 0)
    sample.attributes.set("size", std::vector<int64_t>{0});
  else
    set_windows(sample, random, "size");
  return sample;
}

Sample batch_norm(Random& random) {
  Shape x = any_images(random);
  if (random() % 3 == 0) x = {pick(random, {5, 9}), pick(random, {1, 4})};
  Sample sample{{f64(x)}};
  sample.inputs.resize(5, f64({x[1]}));
  sample.attributes.set("epsilon", coin(random) ? 1e-5 : 0.1);
  if (random() % 3 == 0) sample.inputs[1].reset();
  if (!sample.inputs[1] && coin(random)) sample.inputs[2].reset();
  sample.attributes.set("affine", std::string(sample.inputs[1]   ? "both"
                                              : sample.inputs[2] ? "bias"
                                                                 : "none"));
  const bool even = x[0] % 2 == 0 && x.size() == 4;
  sample.attributes.set("splits", even && coin(random) ? int64_t{2} : int64_t{1});
  return sample;
}

Sample cross_entropy(Random& random) {
  const int64_t n = pick(random, {1, 3, 7}), classes = pick(random, {2, 3, 10});
  Sample sample{{f64({n, classes}), TensorType{DType::i32, {n}}}};
  sample.attributes.set("reduction", std::string(coin(random) ? "mean" : "sum"));
  sample.attributes.set("label_smoothing", coin(random) ? 0.0 : 0.25);
  sample.classes = classes;
  if (coin(random)) {
    sample.inputs.resize(4, TensorType{DType::i32, {n}});
  }
  return sample;
}

const std::map<std::string_view, Sample (*)(Random&)> kSamples = {
    {"add", add},
    {"average_pool", pool},
    {"batch_norm", batch_norm},
    {"celu", celu},
    {"concat", concat},
    {"conv2d", conv2d},
    {"cross_entropy", cross_entropy},
    {"flatten", elementwise},
    {"gelu", elementwise},
    {"linear", linear},
    {"max_pool", pool},
    {"relu", elementwise},
    {"reshape", reshape},
    {"cast", cast},
    {"scale", scale},
};

/// Reals that are pairwise different and not 0 by far more than kStep: no rule is asked at a kink.
void fill(Tensor& tensor, int64_t classes, Random& random) {
  const int64_t count = tensor.type.elements();
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), random);
  for (int64_t i = 0; i < count; ++i) {
    const double place = static_cast<double>(order[static_cast<size_t>(i)]) + 0.75;
    tensor.set(i, is_real(tensor.type.dtype)
                      ? 2 * place / static_cast<double>(count) - 1
                      : static_cast<double>(random() % static_cast<uint64_t>(classes)));
  }
}

/// A graph on reference, run again and again.
class Program {
 public:
  explicit Program(Graph graph)
      : graph_(std::move(graph)),
        plan_(plan_memory(graph_, target("reference"))),
        store_(load_backend("reference").make_store()),
        executable_(load_backend("reference").compile(graph_, plan_, {})) {}

  Tensors run(Tensors& inputs) {
    std::vector<Binding> bound, wanted;
    for (const Leaf& leaf : graph_.leaves())
      bound.push_back({leaf.name, inputs.at(leaf.name).view()});
    Tensors results;
    for (const Result& result : graph_.results())
      wanted.push_back(
          {result.name,
           results.emplace(result.name, Tensor(graph_.type(result.value))).first->second.view()});
    executable_->run(bound, wanted, *store_);
    return results;
  }

 private:
  Graph graph_;
  MemoryPlan plan_;
  std::unique_ptr<StateStore> store_;
  std::unique_ptr<Executable> executable_;
};

/// d f / d tensor by central differences.
std::vector<double> finite_differences(Tensor& tensor, const std::function<double()>& f) {
  std::vector<double> slopes;
  for (int64_t i = 0; i < tensor.type.elements(); ++i) {
    const double value = tensor.at(i);
    tensor.set(i, value + kStep);
    const double above = f();
    tensor.set(i, value - kStep);
    const double below = f();
    tensor.set(i, value);
    slopes.push_back((above - below) / (2 * kStep));
  }
  return slopes;
}

/// Largest difference over the largest slope; slopes below 1e-3 everywhere count as 1e-3.
double relative_error(const std::vector<double>& slopes, const Tensor& gradient) {
  double worst = 0, largest = 1e-3;
  for (size_t i = 0; i < slopes.size(); ++i) {
    worst = std::max(worst, std::abs(slopes[i] - gradient.at(static_cast<int64_t>(i))));
    largest = std::max(largest, std::abs(slopes[i]));
  }
  return worst / largest;
}

/// Of one random case: the largest relative error over its real inputs. An input that the rule
/// gives no gradient has slope 0. `planted` is added to one element of each gradient.
double error_of(const OpSchema& op, Random& random, double planted = 0) {
  const Sample sample = kSamples.at(op.name)(random);
  OpCase c;
  c.ops = {&op};
  c.inputs = sample.inputs;
  c.attributes = {complete_attributes(op, sample.attributes)};

  Graph backward = *gradient_graph(c);
  Tensors inputs;
  for (const Leaf& leaf : backward.leaves())
    fill(inputs.emplace(leaf.name, backward.type(leaf.value)).first->second, sample.classes,
         random);
  Tensors gradients = Program(std::move(backward)).run(inputs);

  Program forward(forward_graph(c));
  const Tensor weights = inputs.at("gradient");
  const std::string y(op.outputs[0].name);
  const auto functional = [&] {
    const Tensor out = forward.run(inputs).at(y);
    double sum = 0;
    for (int64_t i = 0; i < out.type.elements(); ++i) sum += out.at(i) * weights.at(i);
    return sum;
  };
  double worst = 0;
  for (auto& [name, tensor] : inputs) {
    if (name == "gradient" || !is_real(tensor.type.dtype)) continue;
    const auto found = gradients.find("gradient/" + name);
    Tensor gradient = found != gradients.end() ? found->second : Tensor(tensor.type);
    gradient.set(0, gradient.at(0) + planted);
    worst = std::max(worst, relative_error(finite_differences(tensor, functional), gradient));
  }
  return worst;
}

}  // namespace

TEST_CASE("the gradient of every differentiable operator is its finite difference") {
  Random random(20181108);
  int operators = 0;
  for (const OpSchema* op : all_ops()) {
    if (!op->gradient) continue;
    ++operators;
    REQUIRE_MESSAGE(kSamples.contains(op->name), op->name, " has no random cases");
    double worst = 0;
    for (int k = 0; k < kCases; ++k) worst = std::max(worst, error_of(*op, random));
    MESSAGE(op->name, ": ", kCases, " cases, relative error at most ", worst);
    CHECK(worst <= kTolerance);
  }
  CHECK(operators == static_cast<int>(kSamples.size()));
}

TEST_CASE("a gradient that is wrong in one element is found") {
  for (const auto& [name, sample] : kSamples) {
    Random random(1);
    CHECK_MESSAGE(error_of(op(name), random, 1e-2) > kTolerance, name);
  }
}

TEST_CASE("differentiate: every parameter of a net with branches has its finite difference") {
  Graph net("net");
  const ValueId x = net.add_input("x", f64({2, 2, 6, 5}));
  const ValueId label = net.add_input("label", {DType::i32, {2}});
  std::vector<ValueId> parameters;
  const auto parameter = [&](const char* name, Shape shape) {
    return parameters.emplace_back(net.add_input(name, f64(std::move(shape))));
  };
  const auto conv = [&](const char* name, ValueId from) {
    Attributes attributes;
    attributes.set("channels", int64_t{3});
    attributes.set("kernel", std::vector<int64_t>{3});
    attributes.set("padding", std::vector<int64_t>{1});
    return net.add("conv2d", {from, parameter(name, {3, net.type(from).shape[1], 3, 3}), {}},
                   attributes, name);
  };
  const ValueId stem = conv("stem", x);
  const ValueId scale = parameter("scale", {3}), bias = parameter("bias", {3});
  const ValueId normal =
      net.add("batch_norm",
              {stem, scale, bias, net.add_input("mean", f64({3})), net.add_input("var", f64({3}))},
              {}, "norm");
  const ValueId on = net.add("relu", {normal}, {}, "relu");
  const ValueId sum =
      net.add("add", {on, conv("branch", on), on}, {}, "sum");  // `on` is read 3 times
  const ValueId both = net.add("concat", {sum, conv("side", on)}, {}, "both");
  Attributes size;
  size.set("size", std::vector<int64_t>{2});
  const ValueId flat = net.add("flatten", {net.add("max_pool", {both}, size, "pool")}, {}, "flat");
  Attributes features;
  features.set("features", int64_t{3});
  const ValueId logits =
      net.add("linear", {flat, parameter("w", {3, net.type(flat).shape[1]}), parameter("b", {3})},
              features, "classifier");
  const ValueId loss = net.add("cross_entropy", {logits, label}, {}, "loss");
  net.add_result("loss", loss);

  Random random(3);
  Tensors inputs;
  for (const Leaf& leaf : net.leaves())
    fill(inputs.emplace(leaf.name, net.type(leaf.value)).first->second, 3, random);
  Graph backward = net;
  const std::vector<ValueId> gradients = differentiate(backward, loss, parameters);
  for (size_t k = 0; k < parameters.size(); ++k)
    backward.add_result("gradient/" + net.leaf(parameters[k]).name, gradients[k]);
  const Tensors found = Program(std::move(backward)).run(inputs);
  Program forward(net);
  for (ValueId p : parameters) {
    const std::string& name = net.leaf(p).name;
    const auto slopes =
        finite_differences(inputs.at(name), [&] { return forward.run(inputs).at("loss").at(0); });
    CHECK_MESSAGE(relative_error(slopes, found.at("gradient/" + name)) <= kTolerance, name);
  }
}
