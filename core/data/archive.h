// archive: a tar (any compression) or zip file, or a folder -> its files, in memory. Neither is
// trusted: numbers and sizes are bounded, and nothing is written to the disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace expgraph {

struct PackedFile {
  std::string path;  ///< with '/', as the archive has it or relative to the folder
  std::string content;
};

struct ArchiveLimits {
  int64_t files = 100'000;
  int64_t file_bytes = 64 << 20;
  int64_t total_bytes = 1 << 30;
};

/// Regular files only; links and devices are passed over. Throws Error (environment) when it cannot
/// be read or exceeds a limit. `progress` may be empty.
std::vector<PackedFile> read_archive(const std::filesystem::path& archive,
                                     const ArchiveLimits& limits,
                                     const std::function<void(double)>& progress);

/// The same for a folder, with all below it; symbolic links are not followed.
std::vector<PackedFile> read_folder(const std::filesystem::path& folder,
                                    const ArchiveLimits& limits,
                                    const std::function<void(double)>& progress);

}  // namespace expgraph
