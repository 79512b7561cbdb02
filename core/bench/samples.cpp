// samples: a pipeline -> the same at another batch size, and random samples of its data's shape.
#include "core/bench/samples.h"

#include <fmt/format.h>

#include <limits>

#include "core/data/choices.h"
#include "core/ir/op_schema.h"

namespace expgraph {

void set_batch(FlatSpec& spec, int64_t size) {
  for (SpecNode& node : spec.nodes) {
    const OpSchema* schema = node.is_group ? nullptr : find_op(node.op);
    const bool train = node.path.starts_with("train/");
    if (schema == nullptr || schema->role != OpRole::batch || !train) continue;
    for (AttributeSpec& attribute : node.attributes) {
      if (attribute.name == "size") attribute.value.scalar = fmt::format("{}", size);
    }
  }
}

std::shared_ptr<const Dataset> generate_samples(const DatasetInfo& info) {
  struct Storage {
    std::vector<int32_t> pixels, labels;
  };
  const auto storage = std::make_shared<Storage>();
  const int64_t words = info.count * info.height * info.width * info.channels / 4 + 1;
  storage->pixels = draw_choices(0, "pixels", 0, words, {{std::numeric_limits<int32_t>::max()}});
  storage->labels = draw_choices(0, "labels", 0, info.count, {{info.classes}});
  auto data = std::make_shared<Dataset>();
  data->info = info;
  data->images = {reinterpret_cast<const uint8_t*>(storage->pixels.data()),
                  static_cast<size_t>(info.count * info.height * info.width * info.channels)};
  data->labels = storage->labels;
  data->identity = "generated";
  data->storage = storage;
  return data;
}

}  // namespace expgraph
