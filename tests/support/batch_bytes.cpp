// batch_bytes: a pipeline -> every batch of its first epochs, as bytes on the host.
#include "tests/support/batch_bytes.h"

#include <algorithm>

#include "core/train/batches.h"

namespace expgraph::test {

std::vector<std::byte> batch_bytes(const FlatSpec& spec, const CompilePipelineOptions& options,
                                   const std::string& backend, const std::string& side,
                                   OpenDatasets& datasets) {
  const bool trains = side == "train";
  const OpenPipeline whole = open_pipeline(spec, options, datasets);
  const auto programs = [&](const OpenPipeline& open) -> const SidePrograms& {
    return trains ? open.compiled.train : *open.compiled.test;
  };
  const SidePrograms& full = programs(whole);
  const int64_t left = remainder_batch(full.graphs);
  CompilePipelineOptions smaller = options;
  (trains ? smaller.build.train_batch : smaller.build.test_batch) = std::max<int64_t>(1, left);
  const OpenPipeline rest = open_pipeline(spec, smaller, datasets);
  Batches batches({.full = full,
                   .rest = left > 0 ? &programs(rest) : nullptr,
                   .data = trains ? whole.train : whole.test,
                   .backend = load_backend(backend),
                   .seed = 5,
                   .side = side});
  batches.prepare(1);
  std::vector<std::byte> bytes;
  const auto append = [&](const TensorView& tensor) {
    const auto size = static_cast<size_t>(tensor.type.bytes());
    bytes.resize(bytes.size() + size);
    load_backend(backend).copy(tensor, {tensor.type, bytes.data() + bytes.size() - size});
  };
  const int64_t steps = steps_of_epoch(full.graphs);
  for (const int64_t epoch : {0, 1}) {
    batches.start(epoch, steps);
    for (int64_t step = 0; step < steps; ++step) {
      const Batch made = batches.next();
      append(made.images);
      append(made.label);
    }
  }
  return bytes;
}

}  // namespace expgraph::test
