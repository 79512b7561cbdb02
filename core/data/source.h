// source: what each known data set is: one record, found by name in dataset.cpp.
#pragma once

#include <memory>
#include <string_view>

#include "core/data/dataset.h"

namespace expgraph {

struct DataRequest {
  DatasetInfo info;
  uint64_t seed = 0;
  const DataOptions& options;
};

struct DataSource {
  std::string_view name;
  int64_t height, width, classes;
  int64_t train_count, test_count;  ///< all there are; when generated, the default
  bool generated;                   ///< any count and seed; else count = 0 and seed = 0 only
  std::shared_ptr<const Dataset> (*open)(const DataRequest& request);
};

std::shared_ptr<const Dataset> open_shapes10(const DataRequest& request);
std::shared_ptr<const Dataset> open_cifar10(const DataRequest& request);

}  // namespace expgraph
