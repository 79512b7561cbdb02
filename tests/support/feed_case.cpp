// feed_case: what is done to samples -> the graph that makes a batch of them, and values for it.
#include "tests/support/feed_case.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/ops/common.h"

namespace expgraph::test {

namespace {

using Stage = Chain::value_type;

AttributeValue sizes_of(int64_t rows, int64_t columns) {
  return std::vector<int64_t>{rows, columns};
}

Stage pad(int64_t rows, int64_t columns, const std::string& mode) {
  return {"pad", attributes({{"size", sizes_of(rows, columns)}, {"mode", mode}})};
}

Stage box(const char* op, int64_t rows, int64_t columns) {
  return {op, attributes({{"size", sizes_of(rows, columns)}})};
}

/// By eighths; of the mean, or by nothing.
Stage normalise(int64_t channels, bool by_nothing, Random& random) {
  std::vector<double> mean, deviation;
  for (int64_t c = 0; c < channels; ++c) {
    mean.push_back(by_nothing ? 0 : double(random.in(0, 1000)) / 8);
    deviation.push_back(double(random.in(1, 999)) / 8);
  }
  return {"normalise", attributes({{"mean", mean}, {"std", deviation}})};
}

/// One that takes samples of that shape.
Stage random_stage(const Shape& x, bool is_normalised, Random& random) {
  switch (random.in(0, 4)) {
    case 0:
      return normalise(x[3], is_normalised, random);
    case 1: {
      const bool reflects = random.coin();
      const auto border = [&](int64_t size) {
        return random.in(0, reflects ? std::min<int64_t>(4, size - 1) : 4);
      };
      return pad(border(x[1]), border(x[2]), reflects ? "reflect" : "zero");
    }
    case 2:
      return box("random_crop", random.in(std::max<int64_t>(1, x[1] - 5), x[1]),
                 random.in(std::max<int64_t>(1, x[2] - 5), x[2]));
    case 3:
      return {"random_flip", {}};
    default:
      return box("cutout", random.in(0, x[1]), random.in(0, x[2]));
  }
}

class Maker {
 public:
  Maker(const FeedSizes& sizes, Random& random) : batch_(sizes.batch), random_(random) {
    case_.name = fmt::format("{}[{},{},{},{}]", sizes.type == DType::u8 ? "u8" : "f32", sizes.count,
                             sizes.height, sizes.width, sizes.channels);
    const auto input = [&](const char* name, const TensorType& type, int64_t bound) {
      Tensor& values = case_.inputs[name] = Tensor(type);
      for (int64_t i = 0; i < type.elements(); ++i) values.set(i, double(random_.in(0, bound - 1)));
      return case_.graph.add_input(name, type);
    };
    const ValueId samples = input(
        "samples", {sizes.type, {sizes.count, sizes.height, sizes.width, sizes.channels}}, 256);
    labels_ = input("labels", {DType::i32, {sizes.count}}, 10);
    index_ = input("index", {DType::i32, {batch_}}, sizes.count);
    value_ = case_.graph.add("gather", {samples, index_}, {}, "batch");
  }

  const Shape& shape() const { return case_.graph.type(value_).shape; }

  void add(const Stage& stage) {
    const auto& [name, attributes] = stage;
    const OpSchema& op = expgraph::op(name);
    std::vector<ValueId> inputs{value_};
    if (name == "random_flip") {
      inputs.push_back(choice({2}));
    } else if (op.inputs.size() > 1) {
      const Pair size = pair(attributes, "size");
      inputs.push_back(choice({shape()[1] - size.height + 1, shape()[2] - size.width + 1}));
    }
    value_ = case_.graph.output(case_.graph.add_node(op, attributes, inputs, name));
    case_.name += fmt::format(" {}", name);
    for (const auto& [attribute, given] : attributes)
      case_.name += fmt::format(" {}={}", attribute, to_text(given));
    ++stages_;
  }

  FeedCase finish() {
    Graph& graph = case_.graph;
    graph.add_result("images", graph.add("to_images", {value_}, {}, "batch"));
    graph.add_result("label", graph.add("gather", {labels_, index_}, {}, "batch"));
    return std::move(case_);
  }

 private:
  ValueId choice(const std::vector<int64_t>& bounds) {
    const auto width = static_cast<int64_t>(bounds.size());
    const TensorType type{DType::i32, {batch_, width}};
    const std::string name = std::to_string(stages_);
    Tensor& values = case_.inputs[name] = Tensor(type);
    for (int64_t i = 0; i < type.elements(); ++i) {
      const int64_t last = bounds[static_cast<size_t>(i % width)] - 1;
      const int64_t end = random_.coin() ? 0 : last;
      values.set(i, double(random_.coin() ? end : random_.in(0, last)));
    }
    return case_.graph.add_input(name, type);
  }

  FeedCase case_{.name = "", .graph = Graph("feed"), .inputs = {}};
  int64_t batch_;
  Random& random_;
  ValueId labels_, index_, value_;
  int64_t stages_ = 0;
};

}  // namespace

FeedCase feed_case(const FeedSizes& sizes, const Chain& stages, Random& random) {
  Maker maker(sizes, random);
  for (const Stage& stage : stages) maker.add(stage);
  return maker.finish();
}

FeedCase random_feed(Random& random, int64_t stages) {
  Maker maker({.type = random.coin() ? DType::u8 : DType::f32,
               .count = random.in(1, 9),
               .height = random.in(1, 21),
               .width = random.in(1, 21),
               .channels = random.pick({1, 3, 3, 4}),
               .batch = random.in(1, 6)},
              random);
  bool is_normalised = false;
  for (int64_t k = 0; k < stages; ++k) {
    const Stage stage = random_stage(maker.shape(), is_normalised, random);
    is_normalised = is_normalised || stage.first == "normalise";
    maker.add(stage);
  }
  return maker.finish();
}

std::vector<Chain> single_stages(const FeedSizes& sizes) {
  Random random(1);
  const int64_t h = sizes.height, w = sizes.width;
  return {
      {},
      {normalise(sizes.channels, false, random)},
      {pad(std::min<int64_t>(4, h - 1), std::min<int64_t>(3, w - 1), "reflect")},
      {pad(h - 1, w - 1, "reflect")},
      {pad(2, 0, "zero")},
      {pad(0, w + 3, "zero")},
      {box("random_crop", (h + 1) / 2, (w + 2) / 3)},
      {box("random_crop", h, w)},
      {{"random_flip", {}}},
      {box("cutout", (h + 1) / 2, (w + 2) / 3)},
      {box("cutout", h, w)},
      {box("cutout", 0, 0)},
  };
}

}  // namespace expgraph::test
