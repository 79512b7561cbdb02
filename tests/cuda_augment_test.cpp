// cuda_augment_test: the kernel that makes batches does what the reference backend's operators do
// one by one, to the bit.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <list>

#include "core/ops/common.h"
#include "core/passes/target.h"
#include "tests/support/feed_case.h"
#include "tests/support/guarded_run.h"
#include "tests/support/kernel_case.h"
#include "tests/support/kernel_runs.h"

using namespace expgraph;
using namespace expgraph::test;
using Kind = cuda::AugmentStage::Kind;

namespace {

template <typename T>
std::span<const T> elements_of(const Tensor& tensor) {
  return {reinterpret_cast<const T*>(tensor.bytes.data()), tensor.bytes.size() / sizeof(T)};
}

/// A feed as the kernel is given it, and what it makes.
class Run {
 public:
  explicit Run(const FeedCase& feed)
      : samples_(std::span<const std::byte>(feed.inputs.at("samples").bytes)) {
    const Shape& samples = feed.inputs.at("samples").type.shape;
    args.samples = samples_.data();
    args.is_bytes = feed.inputs.at("samples").type.dtype == DType::u8;
    args.count = samples[0];
    args.height = static_cast<int>(samples[1]);
    args.width = static_cast<int>(samples[2]);
    args.c = static_cast<int>(samples[3]);
    args.labels = integers(feed.inputs.at("labels"));
    args.index = integers(feed.inputs.at("index"));
    for (const Node& node : feed.graph.nodes())
      if (node.op->role == OpRole::sample) add_stage(feed, node);
    const Shape& images = feed.graph.type(feed.graph.results()[0].value).shape;
    args.n = images[0];
    args.out_height = static_cast<int>(images[2]);
    args.out_width = static_cast<int>(images[3]);
    args.images = floats_.emplace_back(args.n * images[1] * images[2] * images[3]).data();
    args.label = integers_.emplace_back(args.n).data();
  }

  void run() { cuda::augment(args, nullptr); }
  std::vector<float> images() { return floats_.back().read(); }  ///< channels last
  std::vector<int32_t> label() { return integers_.back().read(); }

  cuda::Augment args{};

 private:
  const int32_t* integers(const Tensor& tensor) {
    return integers_.emplace_back(elements_of<int32_t>(tensor)).data();
  }
  const float* floats(const std::vector<double>& values) {
    return floats_.emplace_back(std::vector<float>(values.begin(), values.end())).data();
  }

  void add_stage(const FeedCase& feed, const Node& node) {
    const std::map<std::string_view, Kind> kinds{{"normalise", Kind::normalise},
                                                 {"pad", Kind::pad_zero},
                                                 {"random_crop", Kind::random_crop},
                                                 {"random_flip", Kind::random_flip},
                                                 {"cutout", Kind::cutout}};
    cuda::AugmentStage& stage = args.stages[args.stage_count++];
    stage.kind = kinds.at(node.op->name);
    const Shape& x = feed.graph.type(node.inputs[0]).shape;
    stage.height = static_cast<int>(x[1]);
    stage.width = static_cast<int>(x[2]);
    if (node.inputs.size() > 1)
      stage.choice = integers(feed.inputs.at(feed.graph.leaf(node.inputs[1]).name));
    if (stage.kind == Kind::normalise) {
      stage.mean = floats(node.attributes.reals("mean"));
      stage.deviation = floats(node.attributes.reals("std"));
    }
    if (node.attributes.has("size")) {
      const Pair size = pair(node.attributes, "size");
      stage.rows = static_cast<int>(size.height);
      stage.columns = static_cast<int>(size.width);
    }
    if (stage.kind == Kind::pad_zero && node.attributes.text("mode") == "reflect")
      stage.kind = Kind::pad_reflect;
  }

  DeviceArray<std::byte> samples_;
  std::list<DeviceArray<int32_t>> integers_;
  std::list<DeviceArray<float>> floats_;
};

/// What the kernel gets wrong; `bits` gets what it makes.
std::string fault_of(const FeedCase& feed, std::vector<float>& bits) {
  const Tensors want =
      guarded_run(load_backend("reference"), feed.graph, guarded_plan(feed.graph), feed.inputs)
          .results;
  const std::vector<float> images = [&] {
    const std::span<const float> values = elements_of<float>(want.at("images"));
    const Shape& shape = want.at("images").type.shape;
    return to_channels_last(std::vector<float>(values.begin(), values.end()), shape[0], shape[1],
                            shape[2] * shape[3]);
  }();
  Run run(feed);
  run.run();
  const std::vector<float> got = run.images();
  const std::vector<int32_t> label = run.label();
  bits.insert(bits.end(), got.begin(), got.end());
  if (!std::ranges::equal(label, elements_of<int32_t>(want.at("label"))))
    return feed.name + ": other labels";
  for (size_t i = 0; i < images.size(); ++i) {
    if (std::memcmp(&images[i], &got[i], sizeof(float)) == 0) continue;
    return fmt::format("{}: element {} is {}, not {}", feed.name, i, got[i], images[i]);
  }
  return "";
}

void check_feeds(const std::vector<FeedCase>& feeds) {
  check_in_all_orders([&](std::vector<float>& bits) {
    std::vector<std::string> faults;
    for (const FeedCase& feed : feeds)
      if (std::string fault = fault_of(feed, bits); !fault.empty())
        faults.push_back(std::move(fault));
    return faults;
  });
}

/// A feed of one crop, of samples that are 1, 2, 3, ...; its choices and index are written over.
FeedCase cropped(std::vector<int32_t> index, std::vector<int32_t> choice) {
  Random random(1);
  FeedCase feed =
      feed_case({.count = 2, .height = 3, .width = 3, .channels = 1, .batch = 2},
                {{"random_crop", attributes({{"size", std::vector<int64_t>{2, 2}}})}}, random);
  for (int64_t i = 0; i < 18; ++i) feed.inputs.at("samples").set(i, double(i + 1));
  for (size_t k = 0; k < index.size(); ++k) feed.inputs.at("index").set(int64_t(k), index[k]);
  for (size_t k = 0; k < choice.size(); ++k) feed.inputs.at("0").set(int64_t(k), choice[k]);
  return feed;
}

}  // namespace

TEST_CASE("each operator on samples alone, at its borders and at odd sizes") {
  if (no_device()) return;
  Random random(2);
  std::vector<FeedCase> feeds;
  for (const DType type : {DType::u8, DType::f32})
    for (const auto& [h, w, c] :
         {std::tuple{32, 32, 3}, {7, 5, 1}, {5, 8, 4}, {2, 1, 3}, {1, 1, 3}})
      for (const Chain& stage : single_stages({.height = h, .width = w, .channels = c})) {
        const FeedSizes sizes{.type = type, .height = h, .width = w, .channels = c, .batch = 4};
        feeds.push_back(feed_case(sizes, stage, random));
      }
  CHECK(feeds.size() == 120);
  check_feeds(feeds);
}

TEST_CASE("operators on samples in any order, as many as the kernel takes") {
  if (no_device()) return;
  CHECK(target("libtorch").feed.most == size_t{cuda::Augment::kMostStages});
  Random random(3);
  std::vector<FeedCase> feeds;
  for (int64_t k = 0; k < 200; ++k)
    feeds.push_back(random_feed(random, 1 + k % cuda::Augment::kMostStages));
  check_feeds(feeds);
}

TEST_CASE("an image of more pixels than a block makes at once") {
  if (no_device()) return;
  Random random(4);
  check_feeds({feed_case({.count = 2, .height = 70, .width = 41, .batch = 3}, {{"random_flip", {}}},
                         random)});
}

TEST_CASE("a sample that is not there is NaN with label -1, a place outside it is NaN") {
  if (no_device()) return;
  const auto images = [](std::vector<int32_t> index, std::vector<int32_t> choice) {
    Run run(cropped(std::move(index), std::move(choice)));
    run.run();
    return std::pair(run.images(), run.label());
  };
  const auto [whole, known] = images({1, 0}, {1, 1, 0, 0});
  CHECK(whole == std::vector<float>{14, 15, 17, 18, 1, 2, 4, 5});
  for (const int32_t unknown : {2, -1}) {
    const auto [missing, label] = images({unknown, 0}, {1, 1, 0, 0});
    CHECK(std::isnan(missing[0]));
    CHECK(std::isnan(missing[3]));
    CHECK(missing[4] == 1);
    CHECK(label[0] == -1);
    CHECK(label[1] == known[1]);
  }
  const auto [outside, label] = images({1, 0}, {2, 1, 0, -1});
  CHECK(outside[0] == 17);
  CHECK(std::isnan(outside[2]));
  CHECK(std::isnan(outside[4]));
  CHECK(outside[5] == 1);
  CHECK(label == known);
}
