// cuda_kernels_test: the kernels of loss and update do what the reference backend's
// operators do.
#include <doctest/doctest.h>

#include <cmath>

#include "tests/support/guarded_run.h"
#include "tests/support/kernel_case.h"
#include "tests/support/kernel_runs.h"

using namespace expgraph;
using namespace expgraph::test;
using cuda::Storage;

namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

Tensors reference(const Graph& graph, const Tensors& inputs) {
  return guarded_run(load_backend("reference"), graph, guarded_plan(graph), inputs).results;
}

/// Adds a fault when `got` is off, and its bits.
struct Comparison {
  std::vector<std::string> faults;
  std::vector<float>& bits;
  template <typename Wanted, typename T>
  void operator()(const std::string& what, const std::vector<Wanted>& want,
                  const std::vector<T>& got, double tolerance) {
    for (const T& value : got) bits.push_back(static_cast<float>(value));
    const double off = distance(want, got);
    if (!(off <= tolerance)) faults.push_back(fmt::format("{} is off by {:.3g}", what, off));
  }
};

void round_logits(Tensors& inputs, Storage storage) {
  Tensor& logits = inputs.at("logits");
  for (int64_t i = 0; i < logits.type.elements(); ++i)
    logits.set(i, rounded(static_cast<float>(8 * logits.at(i)), storage));
}

OpCase loss_case(const char* name, const cuda::LossSizes& sizes, Attributes attributes) {
  OpCase c;
  c.name = fmt::format("{} [{}, {}] storage {}", name, sizes.n, sizes.classes, int(sizes.storage));
  c.ops = {&op(name)};
  c.attributes = {complete_attributes(*c.ops[0], std::move(attributes))};
  c.inputs = {TensorType{DType::f32, {sizes.n, sizes.classes}}, TensorType{DType::i32, {sizes.n}}};
  c.ranges["label"] = {0, double(sizes.classes - 1)};
  return c;
}

std::vector<cuda::LossSizes> loss_sizes() {
  std::vector<cuda::LossSizes> out;
  const int64_t sizes[][2] = {{1, 2}, {65, 10}, {8, 32}, {13, 33}, {7, 67}, {512, 100}, {3, 1000}};
  for (size_t k = 0; k < std::size(sizes); ++k) {
    for (const Storage storage : {Storage::f32, Storage::f16, Storage::bf16}) {
      out.push_back({.storage = storage,
                     .n = sizes[k][0],
                     .classes = sizes[k][1],
                     .label_smoothing = k % 2 == 0 ? 0.2 : 0.0,
                     .mean = k % 3 == 0});
    }
  }
  return out;
}

/// `mixed`: each sample has two labels that share it.
void check_loss(const cuda::LossSizes& sizes, bool mixed, Comparison& compare) {
  Attributes attributes;
  attributes.set("label_smoothing", sizes.label_smoothing);
  attributes.set("reduction", std::string(sizes.mean ? "mean" : "sum"));
  OpCase c = loss_case("cross_entropy", sizes, std::move(attributes));
  if (mixed) {
    c.name += " mixed";
    c.inputs.resize(4, c.inputs[1]);
    c.ranges["other"] = c.ranges["label"];
    c.ranges["weight"] = {0, 65536};
  }
  const Graph graph = *gradient_graph(c);
  Tensors inputs = make_inputs(c, graph);
  round_logits(inputs, sizes.storage);
  Tensors want = reference(graph, inputs);
  const std::vector<float> logits = elements<float>(inputs.at("logits"));
  DeviceMap map(logits, sizes.storage), gradient(std::ssize(logits), sizes.storage);
  DeviceArray<int32_t> label(elements<int32_t>(inputs.at("label")));
  DeviceArray<int32_t> other(mixed ? elements<int32_t>(inputs.at("other"))
                                   : std::vector<int32_t>());
  DeviceArray<int32_t> weight(mixed ? elements<int32_t>(inputs.at("weight"))
                                    : std::vector<int32_t>());
  DeviceArray<float> loss(1), scratch(sizes.n), dloss(elements<float>(inputs.at("gradient")));
  cuda::CrossEntropy args{.logits = map.data(),
                          .label = label.data(),
                          .other = mixed ? other.data() : nullptr,
                          .weight = mixed ? weight.data() : nullptr,
                          .loss = loss.data(),
                          .dloss = dloss.data(),
                          .dlogits = gradient.data(),
                          .scratch = scratch.data()};
  cuda::cross_entropy(sizes, args, nullptr);
  const double half_unit = sizes.storage == Storage::f32   ? 0
                           : sizes.storage == Storage::f16 ? 1.0 / 2048
                                                           : 1.0 / 256;
  compare(c.name + ": loss", elements<float>(want.at("loss")), loss.read(), 2e-6);
  const std::vector<float> dlogits = elements<float>(want.at("gradient/logits"));
  compare(c.name + ": dlogits", dlogits, gradient.read(), 2e-6 + half_unit);
  args.loss = nullptr;
  args.dlogits = map.data();
  cuda::cross_entropy(sizes, args, nullptr);
  compare(c.name + ": dlogits over logits", gradient.read(), map.read(), 0);
  scratch.read();
}

void check_correct(const cuda::LossSizes& sizes, int64_t k, Comparison& compare) {
  Attributes attributes;
  attributes.set("k", k);
  const OpCase c = loss_case("correct", sizes, std::move(attributes));
  const Graph graph = forward_graph(c);
  Tensors inputs = make_inputs(c, graph);
  round_logits(inputs, Storage::bf16);  // so that some are equal
  Tensors want = reference(graph, inputs);
  DeviceMap map(elements<float>(inputs.at("logits")), sizes.storage);
  DeviceArray<int32_t> label(elements<int32_t>(inputs.at("label")));
  DeviceArray<float> count(1), scratch(sizes.n);
  cuda::count_correct(sizes, map.data(), label.data(), k, count.data(), scratch.data(), nullptr);
  compare(c.name, elements<float>(want.at("count")), count.read(), 0);
}

/// What an update makes beside parameters: nothing, their average, or that and the choice of it.
struct Beside {
  bool average = false, choice = false;
  double when = 0, last = 0;
  int64_t skew = 0;  ///< of the average
};

/// One parameter of an update, on the device and as a case of the reference.
struct Updated {
  OpCase c;
  Graph graph;
  Tensors inputs;
  DeviceArray<float> parameter, gradient, momentum, lr, new_parameter, new_momentum;
  DeviceArray<float> average, decay, when, last;

  Updated(int64_t count, Attributes attributes, int64_t skew, const Beside& beside = {})
      : c(make(count, std::move(attributes), beside)),
        graph(forward_graph(c)),
        inputs(make_inputs(c, graph)),
        parameter(of("parameter"), skew),
        gradient(of("gradient"), skew),
        momentum(of("momentum"), skew),
        lr(of("lr")),
        new_parameter(count, skew),
        new_momentum(count, skew),
        average(of("average"), beside.skew),
        decay(of("decay")),
        when(of("when")),
        last(of("last")) {}

  static OpCase make(int64_t count, Attributes attributes, const Beside& beside) {
    const TensorType type{DType::f32, {count}}, scalar{DType::f32, {}};
    OpCase c;
    c.name = fmt::format("update of {}", count);
    c.ops = {&op("sgd_update")};
    c.attributes = {complete_attributes(*c.ops[0], std::move(attributes))};
    c.inputs = {type, type, scalar, std::nullopt};
    if (c.attributes[0].real("momentum") != 0) c.inputs[3] = type;
    const auto add = [&](const char* name, std::vector<std::string> wires,
                         std::initializer_list<TensorType> further) {
      c.ops.push_back(&op(name));
      c.attributes.push_back(complete_attributes(*c.ops.back(), {}));
      c.wires.push_back(std::move(wires));
      c.inputs.insert(c.inputs.end(), further.begin(), further.end());
      c.kept = {c.ops.size() - 2};
    };
    if (beside.average)
      add("average_update", {"average", "0", "decay", "when"}, {type, scalar, scalar});
    if (beside.choice) add("choose", {"0", "1", "last"}, {scalar});
    c.values = {{"when", {beside.when}}, {"last", {beside.last}}};
    c.ranges["decay"] = {0, 1};
    return c;
  }
  std::vector<float> of(const char* name) const {
    const auto found = inputs.find(name);
    return found == inputs.end() ? std::vector<float>() : elements<float>(found->second);
  }
  bool has_momentum() const { return c.inputs[3].has_value(); }
  bool has_average() const { return c.ops.size() > 1; }
  bool has_choice() const { return c.ops.size() > 2; }

  cuda::Update update() {
    const Attributes& a = c.attributes[0];
    return {.parameter = parameter.data(),
            .gradient = gradient.data(),
            .momentum = has_momentum() ? momentum.data() : nullptr,
            .lr = lr.data(),
            .new_parameter = new_parameter.data(),
            .new_momentum = has_momentum() ? new_momentum.data() : nullptr,
            .count = c.inputs[0]->elements(),
            .momentum_factor = static_cast<float>(a.real("momentum")),
            .weight_decay = static_cast<float>(a.real("weight_decay")),
            .nesterov = a.flag("nesterov"),
            .average = has_average() ? average.data() : nullptr,
            .decay = decay.data(),
            .when = when.data(),
            .last = has_choice() ? last.data() : nullptr};
  }
  /// All new values, after update(), as reference makes them.
  void compare_with_reference(Comparison& compare) {
    const Tensors want = reference(graph, inputs);
    const auto check = [&](const std::string& name, DeviceArray<float>& got) {
      compare(c.name + ": " + name, elements<float>(want.at(name)), got.read(), 1e-6);
    };
    const std::string first = has_average() ? "0." : "";
    check(has_choice() ? "y" : first + "new_parameter", new_parameter);
    if (has_momentum()) check(first + "new_momentum", new_momentum);
    if (has_average()) check(has_choice() ? "1.new_average" : "new_average", average);
  }
};

void check_update(Comparison& compare) {
  const int64_t counts[] = {1, 3, 67, 1024, 4097, 12345};
  for (size_t k = 0; k < 2 * std::size(counts); ++k) {
    Attributes attributes;
    attributes.set("momentum", k % 3 == 0 ? 0.0 : 0.9);
    attributes.set("nesterov", k % 3 == 1);
    attributes.set("weight_decay", k % 2 == 0 ? 0.05 : 0.0);
    Updated one(counts[k / 2], std::move(attributes), k % 2 == 0 ? 0 : 1);
    cuda::Update update = one.update();
    cuda::sgd_update(update, nullptr);
    one.compare_with_reference(compare);
    if (!one.has_momentum()) continue;
    update.new_parameter = one.parameter.data();
    update.new_momentum = one.momentum.data();
    cuda::sgd_update(update, nullptr);
    compare(one.c.name + " in place", one.new_parameter.read(), one.parameter.read(), 0);
  }
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// An update with an average, in one launch, beside the update alone.
void check_averaged_update(int64_t count, const Attributes& attributes, const Beside& beside,
                           Comparison& compare) {
  Updated one(count, attributes, 0, beside), in_place(count, attributes, 0, beside);
  one.c.name += fmt::format(", when {}, last {}{}", beside.when, beside.last,
                            beside.choice ? " with choice" : "");
  cuda::sgd_update(one.update(), nullptr);
  one.compare_with_reference(compare);
  const auto expect = [&](bool equal, const char* what) {
    if (!equal) compare.faults.push_back(one.c.name + ": " + what);
  };
  const bool left = same_bits(one.average.read(), one.of("average"));
  expect(left == (beside.when == 0), "the average moves when it is to stay, or the other way");

  cuda::Update update = in_place.update();
  update.new_parameter = in_place.parameter.data();
  if (in_place.has_momentum()) update.new_momentum = in_place.momentum.data();
  cuda::sgd_update(update, nullptr);
  expect(same_bits(in_place.parameter.read(), one.new_parameter.read()), "other bits in place");
  if (one.has_momentum())
    expect(same_bits(in_place.momentum.read(), one.new_momentum.read()), "other momentum in place");

  const bool chosen = beside.choice && beside.last != 0;
  update = one.update();
  update.average = nullptr;
  update.last = nullptr;
  const std::vector<float> parameter = one.new_parameter.read();
  const std::vector<float> average = one.average.read();
  cuda::sgd_update(update, nullptr);
  expect(same_bits(parameter, chosen ? average : one.new_parameter.read()),
         "other bits than of the update alone, or of the average that was chosen");
}

void check_averages(Comparison& compare) {
  const int64_t counts[] = {1, 3, 67, 1024, 4097};
  for (size_t k = 0; k < std::size(counts); ++k) {
    for (const bool choice : {false, true}) {
      for (int way = 0; way < (choice ? 4 : 2); ++way) {
        Attributes attributes;
        attributes.set("momentum", (k + way) % 3 == 0 ? 0.0 : 0.9);
        attributes.set("nesterov", (k + way) % 3 == 1);
        attributes.set("weight_decay", 0.05);
        const Beside beside{.average = true,
                            .choice = choice,
                            .when = double(way % 2),
                            .last = double(way / 2),
                            .skew = k % 2 == 0 ? 0 : 1};
        check_averaged_update(counts[k], attributes, beside, compare);
      }
    }
  }
}

}  // namespace

TEST_CASE("cross-entropy and its gradient are what reference says") {
  if (no_device()) return;
  check_in_all_orders([](std::vector<float>& bits) {
    Comparison compare{{}, bits};
    for (const cuda::LossSizes& sizes : loss_sizes())
      for (const bool mixed : {false, true}) check_loss(sizes, mixed, compare);
    return compare.faults;
  });
}

TEST_CASE("a label or second label out of range makes the loss NaN, and reads nothing") {
  if (no_device()) return;
  const cuda::LossSizes sizes{.n = 2, .classes = 3, .mean = false};
  DeviceMap logits(std::vector<float>(6, 1.0f), Storage::f32), gradient(6, Storage::f32);
  DeviceArray<int32_t> label(std::vector<int32_t>{3, 0});
  DeviceArray<float> loss(1), count(1), scratch(2), dloss(std::vector<float>{1});
  cuda::cross_entropy(sizes,
                      {.logits = logits.data(),
                       .label = label.data(),
                       .loss = loss.data(),
                       .dloss = dloss.data(),
                       .dlogits = gradient.data(),
                       .scratch = scratch.data()},
                      nullptr);
  CHECK(std::isnan(loss.read()[0]));
  CHECK(std::isnan(gradient.read()[2]));
  CHECK(std::isfinite(gradient.read()[3]));
  cuda::count_correct(sizes, logits.data(), label.data(), 1, count.data(), scratch.data(), nullptr);
  CHECK(std::isnan(count.read()[0]));
  DeviceArray<int32_t> good(std::vector<int32_t>{1, 0}), weight(std::vector<int32_t>{65536, 9});
  cuda::cross_entropy(sizes,
                      {.logits = logits.data(),
                       .label = good.data(),
                       .other = label.data(),
                       .weight = weight.data(),
                       .loss = loss.data(),
                       .scratch = scratch.data()},
                      nullptr);
  CHECK(std::isnan(loss.read()[0]));
}

TEST_CASE("correct answers are counted as reference counts, equal logits and NaN included") {
  if (no_device()) return;
  check_in_all_orders([](std::vector<float>& bits) {
    Comparison compare{{}, bits};
    for (const cuda::LossSizes& sizes : loss_sizes())
      for (const int64_t k : {1, 2, 5}) check_correct(sizes, std::min(k, sizes.classes), compare);
    const cuda::LossSizes sizes{.n = 2, .classes = 2};
    DeviceMap logits(std::vector<float>{kNaN, 0, 0, kNaN}, Storage::f32);
    DeviceArray<int32_t> label(std::vector<int32_t>{0, 0});
    DeviceArray<float> count(1), scratch(2);
    cuda::count_correct(sizes, logits.data(), label.data(), 1, count.data(), scratch.data(),
                        nullptr);
    compare("NaN", std::vector<float>{0}, count.read(), 0);
    return compare.faults;
  });
}

TEST_CASE("flat parameters of any size are updated as reference updates them") {
  if (no_device()) return;
  check_in_all_orders([](std::vector<float>& bits) {
    Comparison compare{{}, bits};
    check_update(compare);
    return compare.faults;
  });
}

TEST_CASE("averages are moved and chosen in the update, as reference does it after it") {
  if (no_device()) return;
  check_in_all_orders([](std::vector<float>& bits) {
    Comparison compare{{}, bits};
    check_averages(compare);
    return compare.faults;
  });
}

TEST_CASE("an average that is to stay keeps its bits beside a parameter that is no number") {
  if (no_device()) return;
  Updated one(5, {}, 0, {.average = true, .choice = true});
  DeviceArray<float> gradient(std::vector<float>(5, kNaN));
  cuda::Update update = one.update();
  update.gradient = gradient.data();
  cuda::sgd_update(update, nullptr);
  CHECK(std::isnan(one.new_parameter.read()[4]));
  CHECK(same_bits(one.average.read(), one.of("average")));
}
