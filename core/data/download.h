// download: an address and a digest -> a file, resumed where it was cut off.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace expgraph {

struct Download {
  std::string url;
  std::string md5;         ///< of the whole file
  int64_t most_bytes = 0;  ///< a larger answer is refused
};

/// Fetches into `<to>.part`, going on after what is there of it, checks the digest and renames.
/// Throws Error (environment): what has come so far is kept for the next try, unless its digest is
/// wrong. `progress` may be empty.
void download(const Download& what, const std::filesystem::path& to,
              const std::function<void(double)>& progress);

}  // namespace expgraph
