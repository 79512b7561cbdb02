// onednn: operators and fusions over sizes beside the multiples of its vectors and blocks, against
// reference; a small net; the same bits at every run.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "core/data/choices.h"
#include "core/passes/passes.h"
#include "tests/support/guarded_run.h"
#include "tests/support/random_case.h"

using namespace expgraph;
using namespace expgraph::test;

namespace {

/// Forward and gradient, as they are and fused, against reference without fusion.
void check(const OpCase& c) {
  INFO(c.name);
  std::optional<Graph> gradient = gradient_graph(c);
  const Graph graph = gradient ? *std::move(gradient) : forward_graph(c);
  const Tensors inputs = make_inputs(c, graph);
  const GuardedRun want =
      guarded_run(load_backend("reference"), graph, guarded_plan(graph), inputs);
  const Graph fused = fuse(graph, target("onednn"));
  for (const Graph* tested : {&graph, &fused}) {
    const GuardedRun got =
        guarded_run(load_backend("onednn"), *tested, guarded_plan(*tested), inputs);
    CHECK(got.faults == std::vector<std::string>());
    REQUIRE(got.results.size() == want.results.size());
    for (const auto& [name, tensor] : got.results)
      CHECK_MESSAGE(difference(want.results.at(name), tensor, c.tolerance).empty(), name, ": ",
                    difference(want.results.at(name), tensor, c.tolerance));
  }
}

/// Whether both have the same bits, signs of zeros among them; any NaN is as good as another.
bool same_bits(const Tensor& a, const Tensor& b) {
  if (a.type != b.type) return false;
  for (int64_t i = 0; i < a.type.elements(); ++i) {
    const double x = a.at(i), y = b.at(i);
    if (std::isnan(x) != std::isnan(y)) return false;
    if (!std::isnan(x) && (x != y || std::signbit(x) != std::signbit(y))) return false;
  }
  return true;
}

/// Forward and gradient to the bit.
void check_bits(const OpCase& c) {
  INFO(c.name);
  const Graph graph = *gradient_graph(c);
  const Tensors inputs = make_inputs(c, graph);
  const GuardedRun want =
      guarded_run(load_backend("reference"), graph, guarded_plan(graph), inputs);
  const GuardedRun got = guarded_run(load_backend("onednn"), graph, guarded_plan(graph), inputs);
  CHECK(got.faults == std::vector<std::string>());
  REQUIRE(got.results.size() == want.results.size());
  for (const auto& [name, tensor] : got.results)
    CHECK_MESSAGE(same_bits(want.results.at(name), tensor), name);
}

OpCase conv_case(Random& random, int64_t n, int64_t c, int64_t m, int64_t h, int64_t w,
                 int64_t kernel, int64_t stride) {
  const int64_t padding = random.in(0, kernel - 1);
  const bool bias = random.in(0, 1) == 1;
  const TensorType weights = f32({m, c, kernel, kernel});
  std::vector<std::optional<TensorType>> inputs{f32({n, c, h, w}), weights};
  if (bias) inputs.push_back(f32({m}));
  return make_case({{"conv2d", attributes({{"channels", m},
                                           {"kernel", both(kernel)},
                                           {"stride", both(stride)},
                                           {"padding", both(padding)},
                                           {"bias", bias}})}},
                   inputs, fmt::format("padding {}", padding));
}

/// A normalisation and what follows it.
void check_norm(Random& random, const char* norm, bool pool, bool relu, int64_t n, int64_t c,
                int64_t h, int64_t w) {
  Chain chain{{norm, {}}};
  if (pool) {
    const int64_t size = random.in(1, std::min<int64_t>({h, w, 4}));
    const bool plain = random.in(0, 1) == 1;
    chain.push_back(
        {"max_pool", attributes({{"size", both(size)},
                                 {"stride", both(plain ? size : random.in(1, 3))},
                                 {"padding", both(plain ? 0 : random.in(0, size / 2))}})});
  }
  if (relu) chain.push_back({"relu", {}});
  const TensorType x = f32({n, c, h, w}), per_channel = f32({c});
  OpCase op_case = make_case(chain, {x, per_channel, per_channel, per_channel, per_channel}, "");
  on_grid(op_case, "x", x, random);
  op_case.ranges["running_var"] = {0.5, 2};
  op_case.ranges["inverse_std"] = {0.5, 2};
  op_case.tolerance = 1e-4;  // few values a channel: their inverse deviation can be large
  check(op_case);
}

}  // namespace

TEST_CASE("convolutions of any size, stride and padding do what reference does") {
  Random random(1);
  for (int k = 0; k < 24; ++k) {
    const int64_t kernel = 2 * random.in(0, 2) + 1;
    check(conv_case(random, random.in(1, 9), random.channels(), random.channels(),
                    random.in(kernel, 12), random.in(kernel, 12), kernel, random.in(1, 2)));
  }
}

TEST_CASE("3x3 convolutions with many channels and tiles do what reference does") {
  Random random(2);
  for (const auto& [n, h, w] : {std::array<int64_t, 3>{9, 16, 14}, {40, 8, 8}, {9, 11, 15}}) {
    check(conv_case(random, n, random.in(32, 40), random.in(32, 50), h, w, 3, 1));
    check(conv_case(random, n, 32, 48, h, w, 3, 1));
  }
}

TEST_CASE("normalisations with what follows them do what reference does, forward and backward") {
  Random random(3);
  for (int k = 0; k < 10; ++k) {
    for (const char* norm : {"batch_norm", "batch_norm_inference", "batch_norm_apply"}) {
      for (const auto& [pool, relu] :
           {std::pair{false, false}, {false, true}, {true, true}, {true, false}}) {
        check_norm(random, norm, pool, relu, random.in(2, 9), random.channels(), random.in(2, 12),
                   random.in(2, 12));
      }
    }
  }
  check_norm(random, "batch_norm", true, true, 3, 33, 33, 31);
  check_norm(random, "batch_norm", false, true, 9, 67, 1, 1);
}

namespace {

/// The statistics of a norm after a convolution, or after pooling: as the one before it left them
/// against those that the norm takes itself.
void check_left_moments(bool pool) {
  const std::vector<std::pair<std::string, TensorType>> leaves = {
      {"x", f32({9, 24, 15, 14})}, {"w", f32({40, 24, 3, 3})}, {"b", f32({40})},
      {"scale", f32({40})},        {"bias", f32({40})},        {"mean", f32({40})},
      {"variance", f32({40})}};
  Graph graph("conv_norm");
  std::vector<ValueId> values;
  for (const auto& [name, type] : leaves) values.push_back(graph.add_input(name, type));
  ValueId x = graph.add(
      "conv2d", {values[0], values[1], values[2]},
      attributes(
          {{"channels", int64_t{40}}, {"kernel", both(3)}, {"padding", both(1)}, {"bias", true}}),
      "conv");
  if (pool) x = graph.add("max_pool", {x}, attributes({{"size", both(2)}}), "pool");
  const NodeId norm =
      graph.add_node(op("batch_norm"), {}, {x, values[3], values[4], values[5], values[6]}, "norm");
  graph.add_result("y", graph.add("relu", {graph.output(norm)}, {}, "relu"));
  const std::vector<std::string> names = {"", "mean_of_x", "inverse_std", "new_mean", "new_var"};
  for (int k = 1; k < 5; ++k) graph.add_result(names[size_t(k)], graph.output(norm, k));
  const Graph fused = fuse(graph, target("onednn"));
  REQUIRE(fused.nodes().size() == 2);
  for (const double offset : {0.0, 1000.0}) {
    Random random(7);
    Tensors inputs;
    for (const auto& [name, type] : leaves) {
      Tensor& tensor = inputs.emplace(name, type).first->second;
      for (int64_t i = 0; i < type.elements(); ++i)
        tensor.set(i, double(random.in(-64, 64)) / 64 + (name == "b" ? offset : 0));
    }
    for (const int threads : {1, 2, 3}) {
      const auto results = [&](const Graph& tested) {
        const GuardedRun run =
            guarded_run(load_backend("onednn"), tested, guarded_plan(tested), inputs, {}, threads);
        CHECK(run.faults == std::vector<std::string>());
        return run.results;
      };
      const Tensors want = results(graph), got = results(fused);
      for (const auto& [name, tensor] : want)
        CHECK_MESSAGE(difference(tensor, got.at(name), 1e-5).empty(), name, " on ", threads,
                      " threads, about ", offset, ": ", difference(tensor, got.at(name), 1e-5));
    }
  }
}

}  // namespace

TEST_CASE("statistics that a convolution leaves are those of its output, far from 0 too") {
  check_left_moments(false);
}

TEST_CASE("statistics that pooling leaves are those of its output, far from 0 too") {
  check_left_moments(true);
}

TEST_CASE("a convolution and the pooling after it have the bits of both by themselves") {
  Random random(11);
  for (int k = 0; k < 40; ++k) {
    const int64_t channels = random.in(16, 67), inputs = random.in(16, 40);
    const int64_t padding = random.in(0, 2);
    OpCase c = make_case({{"conv2d", attributes({{"channels", channels},
                                                 {"kernel", both(3)},
                                                 {"padding", both(padding)},
                                                 {"bias", k % 2 == 0}})},
                          {"max_pool", attributes({{"size", both(k % 8 == 0 ? 3 : 2)}})}},
                         {f32({random.in(1, 40), inputs, random.in(5, 21), random.in(5, 21)}),
                          f32({channels, inputs, 3, 3})},
                         fmt::format("padding {}", padding));
    if (k % 2 == 0) c.inputs.push_back(f32({channels}));
    INFO(c.name);
    const Graph graph = forward_graph(c), fused = fuse(graph, target("onednn"));
    REQUIRE(fused.nodes().size() == 1);
    const Tensors inputs_of = make_inputs(c, graph);
    for (const int threads : {1, 3}) {
      const auto run = [&](const Graph& tested) {
        GuardedRun result = guarded_run(load_backend("onednn"), tested, guarded_plan(tested),
                                        inputs_of, {}, threads);
        CHECK(result.faults == std::vector<std::string>());
        return std::move(result.results);
      };
      const Tensors want = run(graph), got = run(fused);
      REQUIRE(want.size() == got.size());
      for (const auto& [name, tensor] : want) CHECK(same_bits(tensor, got.at(name)));
    }
  }
}

TEST_CASE("pooling, sums, elementwise and linear operators do what reference does on odd sizes") {
  Random random(4);
  for (int k = 0; k < 12; ++k) {
    const TensorType x =
        f32({random.in(1, 9), random.channels(), random.in(1, 33), random.in(1, 9)});
    const int64_t size = random.in(1, std::min<int64_t>(x.shape[2], x.shape[3]));
    const Attributes window = attributes({{"size", both(size)},
                                          {"stride", both(random.in(1, 3))},
                                          {"padding", both(random.in(0, size / 2))}});
    for (const char* pool : {"max_pool", "average_pool"}) {
      OpCase c = make_case({{pool, window}}, {x}, "");
      on_grid(c, "x", x, random);
      check(c);
    }
    check(make_case({{"channel_sum", {}}}, {x}, ""));
    check(make_case({{"relu", {}}}, {x}, ""));
    check(make_case({{"add", {}}}, {x, x, x}, ""));
    check(make_case({{"scale", attributes({{"factor", 0.125}})}}, {x}, ""));
    TensorType wider = x;
    wider.shape[1] = random.channels();
    check(make_case({{"concat", {}}}, {x, wider}, ""));
    const int64_t features = random.channels();
    check(make_case({{"linear", attributes({{"features", features}})}},
                    {f32({x.shape[0], x.shape[1]}), f32({features, x.shape[1]}), f32({features})},
                    ""));
  }
}

TEST_CASE("gelu and its slope are off by rounding alone, far from 0 too; a NaN stays one") {
  constexpr int64_t kSteps = 4096;  // a unit
  std::vector<double> x;
  for (int64_t k = -8 * kSteps; k <= 8 * kSteps; ++k) x.push_back(double(k) / kSteps);
  for (const double far : {1e3, 1e30, double(std::numeric_limits<float>::infinity())})
    x.insert(x.end(), {far, -far});
  x.pop_back();  // -inf * 0
  x.push_back(std::nan(""));
  const TensorType type = f32({static_cast<int64_t>(x.size())});
  OpCase gelu = make_case({{"gelu", {}}}, {type}, ""),
         slope = make_case({{"gelu_backward", {}}}, {type, type}, "");
  gelu.values["x"] = slope.values["x"] = x;
  slope.values["dy"].assign(x.size(), 1.0);
  const auto output = [](const OpCase& c) {
    const Graph graph = forward_graph(c);
    const GuardedRun run =
        guarded_run(load_backend("onednn"), graph, guarded_plan(graph), make_inputs(c, graph));
    CHECK(run.faults == std::vector<std::string>());
    return run.results.begin()->second.values();
  };
  const std::vector<double> y = output(gelu), dx = output(slope);
  CHECK(std::isnan(y.back()));
  CHECK(std::isnan(dx.back()));
  double worst_y = 0, worst_dx = 0;
  for (size_t k = 0; k + 1 < x.size(); ++k) {
    const double below = std::erfc(-x[k] / std::sqrt(2.0)) / 2;
    const double bell = std::exp(-x[k] * x[k] / 2) / std::sqrt(2 * M_PI);
    const double density = std::isinf(x[k]) ? 0 : x[k] * bell;
    if (std::isfinite(x[k]))
      worst_y = std::max(worst_y, std::abs(y[k] - x[k] * below) / std::max(1.0, std::abs(x[k])));
    worst_dx = std::max(worst_dx, std::abs(dx[k] - below - density));
  }
  CHECK(worst_y < 2.5e-7);
  CHECK(worst_dx < 4e-7);
}

TEST_CASE("the gradient of max pooling has the bits of reference's, of any kind of number") {
  Random random(6);
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (int k = 0; k < 150; ++k) {
    TensorType x = f32({random.in(1, k % 10 == 1 ? 65 : 3), random.channels(), random.in(1, 33),
                        random.in(1, 33)});
    if (k == 0) x.shape = {130, 64, 33, 33};  // too large for the caches
    const int64_t most = std::min<int64_t>({x.shape[2], x.shape[3], 17});
    // Every third: windows side by side, of two pixels; else apart, or shared, or cut by padding.
    const int64_t size = k % 3 == 0 ? std::min<int64_t>(2, most) : random.in(1, most);
    const int64_t stride = k % 3 == 0 ? 2 : k % 3 == 1 ? size + random.in(0, 2) : random.in(1, 3);
    const int64_t padding = k % 6 == 5 ? random.in(0, size / 2) : 0;
    OpCase c = make_case({{"max_pool", attributes({{"size", both(size)},
                                                   {"stride", both(stride)},
                                                   {"padding", both(padding)}})}},
                         {x}, fmt::format("size {} stride {} padding {}", size, stride, padding));
    c.tolerance = 0;
    on_grid(c, "x", x, random);
    const Graph forward = forward_graph(c);
    const TensorType y = forward.type(forward.nodes()[0].outputs[0]);
    on_grid(c, "gradient", y, random);
    for (double& value : c.values["gradient"]) {
      const int64_t kind = random.in(0, 15);
      if (kind < 4) value = kind == 0 ? -0.0 : kind == 1 ? kInfinity : kind == 2 ? -kInfinity : NAN;
    }
    check_bits(c);
  }
}

namespace {

/// conv, norm, relu, three more of them, pools, a sum of branches, a classifier and its training.
Graph small_net() {
  Graph graph("small");
  const auto conv = [&](ValueId x, int64_t channels, const std::string& path) {
    const TensorType w = f32({channels, graph.type(x).shape[1], 3, 3});
    const ValueId weights =
        graph.add_state(path + "/w", w, {Initialiser::Kind::uniform, -0.1, 0.1}, true);
    return graph.add(
        "conv2d", {x, weights},
        attributes({{"channels", channels}, {"kernel", both(3)}, {"padding", both(1)}}), path);
  };
  const auto norm = [&](ValueId x, const std::string& path) {
    const TensorType c = f32({graph.type(x).shape[1]});
    std::vector<ValueId> inputs{x};
    for (const auto& [name, start] : {std::pair{"scale", 1.0}, {"bias", 0.0}})
      inputs.push_back(
          graph.add_state(path + "/" + name, c, {Initialiser::Kind::constant, start}, true));
    for (const auto& [name, start] : {std::pair{"running_mean", 0.0}, {"running_var", 1.0}})
      inputs.push_back(
          graph.add_state(path + "/" + name, c, {Initialiser::Kind::constant, start}, false));
    const NodeId node = graph.add_node(op("batch_norm"), {}, inputs, path);
    graph.add_update(inputs[3], graph.output(node, 3));
    graph.add_update(inputs[4], graph.output(node, 4));
    return graph.output(node);
  };
  const auto relu = [&](ValueId x, const std::string& path) {
    return graph.add("relu", {x}, {}, path);
  };
  const ValueId images = graph.add_input("images", f32({16, 3, 16, 16}));
  const ValueId label = graph.add_input("label", {DType::i32, {16}});
  const ValueId lr = graph.add_input("lr", f32({}));
  const ValueId first = relu(norm(conv(images, 33, "a"), "a/bn"), "a/relu");
  const ValueId normed = norm(conv(first, 48, "b"), "b/bn");
  const ValueId pooled =
      relu(graph.add("max_pool", {normed}, attributes({{"size", both(2)}}), "b/p"), "b/relu");
  const ValueId side = relu(norm(conv(pooled, 48, "c"), "c/bn"), "c/relu");
  const ValueId sum = graph.add("add", {pooled, side}, {}, "sum");
  const ValueId top = graph.add("max_pool", {sum}, attributes({{"size", both(0)}}), "top");
  const ValueId flat = graph.add("flatten", {top}, {}, "flat");
  const ValueId w =
      graph.add_state("linear/w", f32({10, 48}), {Initialiser::Kind::uniform, -0.1, 0.1}, true);
  const ValueId logits = graph.add(
      "linear", {flat, w}, attributes({{"features", int64_t{10}}, {"bias", false}}), "linear");
  const ValueId loss = graph.add("cross_entropy", {logits, label}, {}, "loss");
  graph.add_result("loss", loss);
  const OptimiserSpec sgd{
      .path = "update",
      .op = &op("sgd"),
      .attributes = complete_attributes(
          op("sgd"), attributes({{"momentum", 0.9}, {"nesterov", true}, {"weight_decay", 5e-4}})),
      .loss = loss,
      .lr = lr};
  const TrainingSpec training{.optimisers = {sgd}};
  return run_passes(std::move(graph), &training, target("onednn"), {});
}

/// States and loss after some steps.
Tensors train(const std::string& backend, const Graph& graph, int threads) {
  const Backend& b = load_backend(backend);
  const auto store = b.make_store();
  Tensors inputs, outcome;
  for (const Leaf& leaf : graph.leaves()) {
    Tensor tensor(graph.type(leaf.value));
    if (leaf.kind == LeafKind::state) {
      initialise(1, leaf.name, leaf.initialiser, tensor.type, tensor.bytes.data());
      store->create(leaf.name, tensor.type);
      store->write(leaf.name, tensor.view());
    } else {
      inputs.emplace(leaf.name, std::move(tensor));
    }
  }
  Tensor& loss = outcome.emplace("loss", f32({})).first->second;
  std::vector<Binding> bound, wanted{{"loss", loss.view()}};
  for (auto& [name, tensor] : inputs) bound.push_back({name, tensor.view()});
  const MemoryPlan plan = plan_memory(graph, target("onednn"));
  const auto program = b.compile(graph, plan, {.threads = threads});
  Random random(5);
  for (int step = 0; step < 4; ++step) {
    for (auto& [name, tensor] : inputs)
      for (int64_t i = 0; i < tensor.type.elements(); ++i)
        tensor.set(i, name == "label" ? static_cast<double>(random.in(0, 9))
                      : name == "lr"  ? 0.1
                                      : static_cast<double>(random.in(-64, 64)) / 64);
    program->run(bound, wanted, *store);
  }
  for (const std::string& name : store->names()) {
    Tensor& state = outcome.emplace(name, store->type(name)).first->second;
    store->read(name, state.view());
  }
  return outcome;
}

}  // namespace

TEST_CASE("a small net trains to the same states as on reference") {
  const Graph graph = small_net();
  const Tensors want = train("reference", graph, 1);
  for (const int threads : {1, 2}) {
    const Tensors got = train("onednn", graph, threads);
    REQUIRE(got.size() == want.size());
    for (const auto& [name, tensor] : want)
      CHECK_MESSAGE(difference(tensor, got.at(name), 1e-3).empty(), name, ": ",
                    difference(tensor, got.at(name), 1e-3));
  }
}

TEST_CASE("the same program over the same states makes the same bits") {
  const Graph graph = small_net();
  for (const int threads : {1, 2, 3}) {
    const Tensors first = train("onednn", graph, threads);
    for (int again = 0; again < 3; ++again) {
      const Tensors next = train("onednn", graph, threads);
      for (const auto& [name, tensor] : first)
        CHECK_MESSAGE(tensor.bytes == next.at(name).bytes, name, " on ", threads, " threads");
    }
  }
}

TEST_CASE("a program in double is refused") {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::f64, {4}});
  graph.add_result("y", graph.add("relu", {x}, {}, "here"));
  const MemoryPlan plan = plan_memory(graph, target("reference"));
  CHECK_THROWS_WITH(load_backend("onednn").compile(graph, plan, {}),
                    "backend 'onednn' computes in f32 and bf16, 'relu' is over f64[4]");
}

TEST_CASE("a node that nobody reads is not run") {
  Graph graph;
  const ValueId x = graph.add_input("x", f32({2, 3}));
  graph.add("relu", {x}, {}, "dead");
  graph.add_result("y", graph.add("scale", {x}, attributes({{"factor", 2.0}}), "live"));
  const MemoryPlan plan = plan_memory(graph, target("onednn"));
  const Backend& backend = load_backend("onednn");
  Tensor in(graph.type(x)), out(graph.type(x));
  for (int64_t i = 0; i < 6; ++i) in.set(i, static_cast<double>(i));
  const auto store = backend.make_store();
  const std::vector<Binding> inputs{{"x", in.view()}}, results{{"y", out.view()}};
  backend.compile(graph, plan, {})->run(inputs, results, *store);
  for (int64_t i = 0; i < 6; ++i) CHECK(out.at(i) == 2.0 * static_cast<double>(i));
}

TEST_CASE("an operator that is not part of a step is refused") {
  Graph graph;
  const ValueId x = graph.add_input("x", f32({4, 2, 2, 3}));
  graph.add_result("y", graph.add("cache", {x}, {}, "here"));
  const MemoryPlan plan = plan_memory(graph, target("onednn"));
  CHECK_THROWS_WITH(load_backend("onednn").compile(graph, plan, {}),
                    "backend 'onednn' has no kernel for 'cache'");
}
