// cuda_kernels_test: the kernels of loss, update, feed and metrics do what the reference backend's
// operators do.
#include <doctest/doctest.h>

#include <cmath>

#include "tests/support/guarded_run.h"
#include "tests/support/kernel_case.h"
#include "tests/support/kernel_runs.h"
#include "tests/support/op_graphs.h"

using namespace expgraph;
using namespace expgraph::test;
using cuda::AugmentStep;
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
                     .label_smoothing = k % 2 == 0 ? 0.2f : 0.0f,
                     .mean = k % 3 == 0});
    }
  }
  return out;
}

void check_loss(const cuda::LossSizes& sizes, Comparison& compare) {
  Attributes attributes;
  attributes.set("label_smoothing", double{sizes.label_smoothing});
  attributes.set("reduction", std::string(sizes.mean ? "mean" : "sum"));
  const OpCase c = loss_case("cross_entropy", sizes, std::move(attributes));
  const Graph graph = *gradient_graph(c);
  Tensors inputs = make_inputs(c, graph);
  round_logits(inputs, sizes.storage);
  Tensors want = reference(graph, inputs);
  const std::vector<float> logits = elements<float>(inputs.at("logits"));
  DeviceMap map(logits, sizes.storage), gradient(std::ssize(logits), sizes.storage);
  DeviceArray<int32_t> label(elements<int32_t>(inputs.at("label")));
  DeviceArray<float> loss(1), scratch(sizes.n), dloss(elements<float>(inputs.at("gradient")));
  cuda::CrossEntropy args{.logits = map.data(),
                          .label = label.data(),
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

/// One parameter of an update, on the device and as a case of the reference.
struct Updated {
  OpCase c;
  Graph graph;
  Tensors inputs;
  DeviceArray<float> parameter, gradient, momentum, lr, new_parameter, new_momentum;

  Updated(int64_t count, Attributes attributes, int64_t skew)
      : c(make(count, std::move(attributes))),
        graph(forward_graph(c)),
        inputs(make_inputs(c, graph)),
        parameter(of("parameter"), skew),
        gradient(of("gradient"), skew),
        momentum(of("momentum"), skew),
        lr(of("lr")),
        new_parameter(count, skew),
        new_momentum(count, skew) {}

  static OpCase make(int64_t count, Attributes attributes) {
    const TensorType type{DType::f32, {count}};
    OpCase c;
    c.name = fmt::format("update of {}", count);
    c.ops = {&op("sgd_update")};
    c.attributes = {complete_attributes(*c.ops[0], std::move(attributes))};
    c.inputs = {type, type, TensorType{DType::f32, {}}, std::nullopt};
    if (c.attributes[0].real("momentum") != 0) c.inputs[3] = type;
    return c;
  }
  std::vector<float> of(const char* name) const {
    const auto found = inputs.find(name);
    return found == inputs.end() ? std::vector<float>() : elements<float>(found->second);
  }
  cuda::Update update() {
    const Attributes& a = c.attributes[0];
    const bool has_momentum = c.inputs[3].has_value();
    return {.parameter = parameter.data(),
            .gradient = gradient.data(),
            .momentum = has_momentum ? momentum.data() : nullptr,
            .lr = lr.data(),
            .new_parameter = new_parameter.data(),
            .new_momentum = has_momentum ? new_momentum.data() : nullptr,
            .count = c.inputs[0]->elements(),
            .momentum_factor = static_cast<float>(a.real("momentum")),
            .weight_decay = static_cast<float>(a.real("weight_decay")),
            .nesterov = a.flag("nesterov")};
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
    Tensors want = reference(one.graph, one.inputs);
    const std::vector<float> parameter = elements<float>(want.at("new_parameter"));
    compare(one.c.name, parameter, one.new_parameter.read(), 1e-6);
    if (!one.c.inputs[3]) continue;
    compare(one.c.name, elements<float>(want.at("new_momentum")), one.new_momentum.read(), 1e-6);
    update.new_parameter = one.parameter.data();
    update.new_momentum = one.momentum.data();
    cuda::sgd_update(update, nullptr);
    compare(one.c.name + " in place", one.new_parameter.read(), one.parameter.read(), 0);
  }
}

/// One step of an augmentation, as a node of the data family and as the kernel's steps back.
struct Sampled {
  Graph graph{"feed"};
  Tensors inputs;
  ValueId images;
  std::vector<AugmentStep> steps;  ///< from the source on
  std::vector<std::unique_ptr<DeviceArray<int32_t>>> tables;
  std::mt19937 random{5};
  std::vector<int32_t> order;

  const Shape& shape() const { return graph.type(images).shape; }
  void add_node(const char* name, Attributes attributes = {}) {
    images = graph.add(name, {images}, std::move(attributes), name);
  }
  /// Choices of every sample; the graph sees those of the batch.
  const int32_t* add_choices(const char* name, const std::vector<int64_t>& bounds,
                             Attributes attributes = {}) {
    const auto width = std::ssize(bounds);
    std::vector<int32_t> all(static_cast<size_t>(kCount * width));
    for (size_t i = 0; i < all.size(); ++i)
      all[i] = std::uniform_int_distribution<int32_t>(
          0, static_cast<int32_t>(bounds[i % bounds.size()]) - 1)(random);
    const TensorType type{DType::i32, {std::ssize(order), width}};
    Tensor& batch = inputs.emplace(name, type).first->second;
    for (int64_t b = 0; b < std::ssize(order); ++b)
      for (int64_t k = 0; k < width; ++k)
        batch.set(b * width + k,
                  all[static_cast<size_t>(order[static_cast<size_t>(b)] * width + k)]);
    images = graph.add(name, {images, graph.add_input(name, type)}, std::move(attributes), name);
    tables.push_back(std::make_unique<DeviceArray<int32_t>>(all));
    return tables.back()->data();
  }
  static constexpr int64_t kCount = 11;
};

Attributes with_size(int64_t height, int64_t width) {
  Attributes attributes;
  attributes.set("size", std::vector<int64_t>{height, width});
  return attributes;
}

/// The nodes named by letters: n normalise, r pad by reflection, z pad by zeros, c crop, f flip, o
/// cutout.
void add_steps(Sampled& s, const std::string& letters, const std::vector<double>& mean,
               const std::vector<double>& std) {
  using Kind = AugmentStep::Kind;
  for (const char letter : letters) {
    const auto h = static_cast<int32_t>(s.shape()[1]), w = static_cast<int32_t>(s.shape()[2]);
    if (letter == 'n') {
      Attributes attributes;
      attributes.set("mean", mean);
      attributes.set("std", std);
      s.add_node("normalise", std::move(attributes));
      s.steps.push_back({.kind = Kind::normalise});
    } else if (letter == 'r' || letter == 'z') {
      Attributes attributes = with_size(2, 3);
      attributes.set("mode", std::string(letter == 'r' ? "reflect" : "zero"));
      s.add_node("pad", std::move(attributes));
      s.steps.push_back(
          {.kind = letter == 'r' ? Kind::reflect : Kind::zeros, .height = h, .width = w});
      s.steps.push_back({.kind = Kind::offset, .y = -2, .x = -3});
    } else if (letter == 'c') {
      const int32_t* choices = s.add_choices("random_crop", {3, 4}, with_size(h - 2, w - 3));
      s.steps.push_back({.kind = Kind::offset, .choices = choices, .choice_width = 2});
    } else if (letter == 'f') {
      const int32_t* choices = s.add_choices("random_flip", {2});
      s.steps.push_back({.kind = Kind::flip, .width = w, .choices = choices, .choice_width = 1});
    } else {
      const int32_t* choices = s.add_choices("cutout", {h - 3, w - 4}, with_size(4, 5));
      s.steps.push_back(
          {.kind = Kind::cutout, .y = 4, .x = 5, .choices = choices, .choice_width = 2});
    }
  }
}

void check_feed(const std::string& letters, Storage storage, Comparison& compare) {
  constexpr int64_t kHeight = 9, kWidth = 11, kChannels = 3, kBatch = 4, kStep = 1;
  Sampled s;
  std::vector<int32_t> epoch(Sampled::kCount);
  for (int32_t i = 0; i < Sampled::kCount; ++i)
    epoch[static_cast<size_t>(i)] = i * 7 % Sampled::kCount;
  s.order.assign(epoch.begin() + kStep * kBatch, epoch.begin() + (kStep + 1) * kBatch);
  const TensorType type{DType::u8, {kBatch, kHeight, kWidth, kChannels}};
  std::vector<uint8_t> samples(Sampled::kCount * kHeight * kWidth * kChannels);
  for (uint8_t& byte : samples) byte = static_cast<uint8_t>(s.random());
  Tensor& batch = s.inputs.emplace("x", type).first->second;
  const int64_t size = type.elements() / kBatch;
  for (int64_t i = 0; i < type.elements(); ++i)
    batch.set(
        i, samples[static_cast<size_t>(s.order[static_cast<size_t>(i / size)] * size + i % size)]);
  s.images = s.graph.add_input("x", type);
  const std::vector<double> mean{125.3, 123, 113.9}, std{63, 62.1, 66.7};
  add_steps(s, letters, mean, std);
  const Shape shape = s.shape();
  s.add_node("to_images");
  s.graph.add_result("images", s.images);

  const bool normalised = letters.find('n') != std::string::npos;
  std::vector<float> values;
  for (size_t c = 0; c < kChannels; ++c)
    for (int byte = 0; byte < 256; ++byte)
      values.push_back(static_cast<float>(normalised ? (byte - mean[c]) / std[c] : byte));
  std::vector<int32_t> labels(Sampled::kCount);
  for (int32_t i = 0; i < Sampled::kCount; ++i) labels[static_cast<size_t>(i)] = 100 + i;
  DeviceArray<uint8_t> device_samples(samples);
  DeviceArray<int32_t> device_labels(labels), device_order(epoch), label(kBatch);
  DeviceArray<int64_t> step(std::vector<int64_t>{kStep});
  DeviceArray<float> table(values);
  DeviceMap images(kBatch * shape[1] * shape[2] * kChannels, storage);
  cuda::Augment args{.samples = device_samples.data(),
                     .labels = device_labels.data(),
                     .order = device_order.data(),
                     .step = step.data(),
                     .count = Sampled::kCount,
                     .h = kHeight,
                     .w = kWidth,
                     .c = kChannels,
                     .batch = kBatch,
                     .full_batch = kBatch,
                     .out_h = shape[1],
                     .out_w = shape[2],
                     .values = table.data(),
                     .steps = static_cast<int>(s.steps.size()),
                     .storage = storage,
                     .images = images.data(),
                     .label = label.data()};
  std::copy(s.steps.rbegin(), s.steps.rend(), args.program);
  cuda::gather_batch(args, nullptr);
  std::vector<float> want =
      to_channels_last(elements<float>(reference(s.graph, s.inputs).at("images")), kBatch,
                       kChannels, shape[1] * shape[2]);
  for (float& value : want) value = rounded(value, storage);
  compare(letters, want, images.read(), 0);
  std::vector<int32_t> want_label;
  for (const int32_t sample : s.order) want_label.push_back(100 + sample);
  compare(letters + ": label", want_label, label.read(), 0);
}

}  // namespace

TEST_CASE("cross-entropy and its gradient are what reference says") {
  if (no_device()) return;
  check_in_all_orders([](std::vector<float>& bits) {
    Comparison compare{{}, bits};
    for (const cuda::LossSizes& sizes : loss_sizes()) check_loss(sizes, compare);
    return compare.faults;
  });
}

TEST_CASE("a label out of range makes the loss NaN, and reads nothing") {
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

TEST_CASE("a batch is gathered through any chain of augmentation to the bit") {
  if (no_device()) return;
  check_in_all_orders([](std::vector<float>& bits) {
    Comparison compare{{}, bits};
    for (const Storage storage : {Storage::f32, Storage::f16, Storage::bf16})
      for (const char* letters : {"", "n", "nrcfo", "rcofn", "nzcf", "zcfno", "on", "nf", "cfo"})
        check_feed(letters, storage, compare);
    return compare.faults;
  });
}

TEST_CASE("metrics of each step are kept in a table, schedules are read from one") {
  if (no_device()) return;
  check_in_all_orders([](std::vector<float>& bits) {
    Comparison compare{{}, bits};
    DeviceArray<float> values(std::vector<float>{1, 2, 3}), table(9), lr(1), momentum(1);
    DeviceArray<float> schedules(std::vector<float>{0.1f, 0.9f, 0.2f, 0.8f, 0.3f, 0.7f});
    DeviceArray<int64_t> step(std::vector<int64_t>{1});
    const cuda::MetricSources sources{{values.data(), values.data() + 1, values.data() + 2}, 3};
    const cuda::ScheduleTargets targets{{lr.data(), momentum.data()}, 2};
    cuda::read_schedules(schedules.data(), step.data(), targets, nullptr);
    cuda::record_metrics(sources, table.data(), step.data(), nullptr);
    cuda::record_metrics(sources, table.data(), step.data(), nullptr);
    compare("table", std::vector<float>{kNaN, kNaN, kNaN, 1, 2, 3, 1, 2, 3}, table.read(), 0);
    compare("step", std::vector<int64_t>{3}, step.read(), 0);
    compare("lr", std::vector<float>{0.2f}, lr.read(), 0);
    compare("momentum", std::vector<float>{0.8f}, momentum.read(), 0);
    return compare.faults;
  });
}
