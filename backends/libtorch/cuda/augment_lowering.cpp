// augment_lowering: the fusion node of a feed -> the kernel of augment.cu.
#include <algorithm>
#include <limits>

#include "backends/libtorch/cuda/part.h"
#include "core/ops/common.h"

namespace expgraph::libtorch {

namespace {

using Stage = cuda::AugmentStage;

/// What the kernel is given in every run, and where it finds the rest among the node's inputs and
/// outputs.
struct Feed {
  cuda::Augment args{};
  std::vector<size_t> choices;     ///< per stage; of one without choice, anything
  std::vector<at::Tensor> tables;  ///< means and deviations that the stages point to
  size_t samples = 0, labels = 0, index = 0;
  size_t images = 0, label = 0;
};

bool fits(int64_t size) { return size <= std::numeric_limits<int>::max(); }

Stage::Kind kind_of(const Node& node) {
  const std::string_view name = node.op->name;
  if (name == "normalise") return Stage::Kind::normalise;
  if (name == "random_crop") return Stage::Kind::random_crop;
  if (name == "random_flip") return Stage::Kind::random_flip;
  if (name == "cutout") return Stage::Kind::cutout;
  EXPGRAPH_CHECK(name == "pad");
  const bool reflects = node.attributes.text("mode") == "reflect";
  return reflects ? Stage::Kind::pad_reflect : Stage::Kind::pad_zero;
}

/// The body of the node taken apart; its members follow each other as find_feed says.
class Reader {
 public:
  explicit Reader(const MakerContext& context)
      : body_(*context.node.body), device_(context.device) {}

  Feed read() {
    for (const Node& node : body_.nodes()) {
      const std::string_view name = node.op->name;
      if (name == "gather")
        read_gather(node);
      else if (name == "to_images")
        read_images(node);
      else
        add_stage(node);
    }
    return std::move(feed_);
  }

 private:
  size_t input(const Node& node, size_t k) const {
    EXPGRAPH_CHECK(body_.is_leaf(node.inputs[k]));
    return static_cast<size_t>(body_.value(node.inputs[k]).output);
  }
  size_t output(const Node& node) const {
    const auto found = std::ranges::find(body_.results(), node.outputs[0], &Result::value);
    EXPGRAPH_CHECK(found != body_.results().end());
    return static_cast<size_t>(found - body_.results().begin());
  }

  void read_gather(const Node& node) {
    const TensorType& x = body_.type(node.inputs[0]);
    feed_.index = input(node, 1);
    if (x.rank() == 1) {
      feed_.labels = input(node, 0);
      feed_.label = output(node);
      return;
    }
    feed_.samples = input(node, 0);
    feed_.args.is_bytes = x.dtype == DType::u8;
    feed_.args.count = x.shape[0];
    feed_.args.n = body_.type(node.outputs[0]).shape[0];
    feed_.args.height = static_cast<int>(x.shape[1]);
    feed_.args.width = static_cast<int>(x.shape[2]);
    feed_.args.c = static_cast<int>(x.shape[3]);
  }

  void read_images(const Node& node) {
    const Shape& x = body_.type(node.inputs[0]).shape;
    feed_.images = output(node);
    feed_.args.out_height = static_cast<int>(x[1]);
    feed_.args.out_width = static_cast<int>(x[2]);
  }

  const float* table(const std::vector<double>& values) {
    const at::Tensor made = at::tensor(values, at::dtype(at::kFloat)).to(device_);
    return feed_.tables.emplace_back(made).data_ptr<float>();
  }

  void add_stage(const Node& node) {
    EXPGRAPH_CHECK(feed_.args.stage_count < cuda::Augment::kMostStages);
    Stage& stage = feed_.args.stages[feed_.args.stage_count++];
    const Shape& x = body_.type(node.inputs[0]).shape;
    stage.kind = kind_of(node);
    stage.height = static_cast<int>(x[1]);
    stage.width = static_cast<int>(x[2]);
    const bool draws = node.inputs.size() > 1;
    feed_.choices.push_back(draws ? input(node, 1) : 0);
    if (stage.kind == Stage::Kind::normalise) {
      stage.mean = table(node.attributes.reals("mean"));
      stage.deviation = table(node.attributes.reals("std"));
    } else if (stage.kind != Stage::Kind::random_flip) {
      const Pair size = pair(node.attributes, "size");
      stage.rows = static_cast<int>(size.height);
      stage.columns = static_cast<int>(size.width);
    }
  }

  const Graph& body_;
  at::Device device_;
  Feed feed_;
};

}  // namespace

std::optional<Kernel> make_augment(const MakerContext& context) {
  if (context.node.body == nullptr || context.node.attributes.text("kind") != "augment")
    return std::nullopt;
  const Graph& body = *context.node.body;
  const bool small = std::ranges::all_of(body.values(), [](const Value& value) {
    return value.type.rank() != 4 || fits(value.type.shape[1] * value.type.shape[2]);
  });
  if (!small) return std::nullopt;
  return [feed = Reader(context).read()](std::span<const at::Tensor> in) -> Tensors {
    cuda::Augment now = feed.args;
    Tensors held;
    const auto integers = [&](size_t place) {
      return held.emplace_back(in[place].contiguous()).data_ptr<int32_t>();
    };
    now.samples = held.emplace_back(in[feed.samples].contiguous()).data_ptr();
    now.labels = integers(feed.labels);
    now.index = integers(feed.index);
    for (int k = 0; k < now.stage_count; ++k)
      if (now.stages[k].draws()) now.stages[k].choice = integers(feed.choices[size_t(k)]);
    const auto options = in[feed.index].options();
    Tensors made(2);
    made[feed.images] = at::empty({now.n, now.c, now.out_height, now.out_width},
                                  options.dtype(at::kFloat), at::MemoryFormat::ChannelsLast);
    made[feed.label] = at::empty({now.n}, options);
    now.images = made[feed.images].data_ptr<float>();
    now.label = made[feed.label].data_ptr<int32_t>();
    cuda::augment(now, current_stream());
    return made;
  };
}

}  // namespace expgraph::libtorch
