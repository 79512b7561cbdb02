// cache_file: decoded images and labels <-> one file that is mapped into memory. The file names
// itself by a digest of its content, so a damaged one is seen and made again.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/data/dataset.h"

namespace expgraph {

/// What is cached of one split.
struct DecodedImages {
  std::string described;  ///< "CIFAR-10 (JPEG)"
  std::vector<std::string> classes;
  int64_t height = 0, width = 0, channels = 3;
  std::vector<uint8_t> images;
  std::vector<int32_t> labels;
};

/// Writes beside and renames; makes the folder.
void write_cache(const std::filesystem::path& path, const DecodedImages& decoded);

/// Maps the file and checks it whole, with `threads` threads; nullptr when there is none or it is
/// damaged. `info` and the identity come from the file: info.name and info.split are left empty.
std::shared_ptr<Dataset> map_cache(const std::filesystem::path& path, int threads);

}  // namespace expgraph
