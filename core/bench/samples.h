// samples: a pipeline -> the same at another batch size, and random samples of its data's shape.
#pragma once

#include <memory>

#include "core/data/dataset.h"
#include "core/spec/graph_spec.h"

namespace expgraph {

/// Sets the size of the training side's batches; nothing where it has none.
void set_batch(FlatSpec& spec, int64_t size);

/// Random bytes and labels.
std::shared_ptr<const Dataset> generate_samples(const DatasetInfo& info);

}  // namespace expgraph
