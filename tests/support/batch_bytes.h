// batch_bytes: a pipeline -> every batch of its first epochs, as bytes on the host.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/train/open_pipeline.h"

namespace expgraph::test {

/// Images and labels of two epochs of "train" or "test", the last, smaller batch included: programs
/// compiled by `options`, made and run on `backend`.
std::vector<std::byte> batch_bytes(const FlatSpec& spec, const CompilePipelineOptions& options,
                                   const std::string& backend, const std::string& side,
                                   OpenDatasets& datasets);

}  // namespace expgraph::test
