// dataset: a name and a place -> images and labels, mapped from one cache file.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/ir/attribute.h"
#include "core/pipeline.h"
#include "core/support/diagnostics.h"

namespace expgraph {

/// Images u8[count, height, width, channels] and labels i32[count], read-only, mapped; freed with
/// the last copy of the pointer.
struct Dataset {
  DatasetInfo info;
  std::span<const uint8_t> images;
  std::span<const int32_t> labels;
  std::vector<std::string> classes;
  std::string identity;   ///< hash of the content, part of the run key: "shapes10:seed=0:20000",
                          ///< "sha256:..."
  std::string described;  ///< for people: "CIFAR-10 (image folder cifar10.tgz)"
  std::shared_ptr<void> storage;
};

struct DataOptions {
  std::string path;   ///< --data or EXPGRAPH_DATA: a file or folder; "" = the default place
  std::string cache;  ///< folder of cache files; "" = $XDG_CACHE_HOME/expgraph or ~/.cache/expgraph
  bool download = false;  ///< may fetch from the official place
  int threads = 0;
  std::function<void(std::string_view what, double fraction)> progress;  ///< may be empty
};

/// What is known without reading: sizes of cifar10 and shapes10 (attributes: count, seed). Unknown
/// names are an Error with the nearest name.
DatasetInfo dataset_info(const std::string& name, const std::string& split, const Location& where,
                         const Attributes& attributes);

/// Opens, decoding or generating into the cache first where needed. Error (environment) when the
/// data is not there, with the ways to get it.
std::shared_ptr<const Dataset> open_dataset(const std::string& name, const std::string& split,
                                            const Attributes& attributes,
                                            const DataOptions& options, const Location& where = {});

std::vector<std::string> dataset_names();

}  // namespace expgraph
