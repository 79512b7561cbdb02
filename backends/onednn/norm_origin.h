// norm_origin: a graph -> whether a pooled map and its index were made of a normalisation known.
#pragma once

#include "backends/onednn/pool.h"
#include "core/ir/graph.h"

namespace expgraph::onednn {

/// A normalisation by statistics of the batch, as values of a graph, and windows after it that tile
/// its map exactly.
struct PooledNorm {
  ValueId x, scale, mean, inverse_std;
  PoolShape pool;
};

/// Whether `y` is relu(max_pool(norm(x))) of that normalisation, and `index` says where in x each
/// of its elements lies. Sees what fusions of these three operators make.
bool is_pooled_norm(const Graph& graph, ValueId y, ValueId index, const PooledNorm& norm);

}  // namespace expgraph::onednn
