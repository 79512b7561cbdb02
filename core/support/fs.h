// fs: the few file operations that runs, checkpoints and caches are written through, so that a
// crash leaves the old file or the new one, never a half, and tests can make any of them fail.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace expgraph {

/// Held while it lives; another process (or another FileLock of this one) cannot hold it.
using FileLock = std::shared_ptr<void>;

/// Every operation throws Error (environment) that names the path and the system's reason.
class Fs {
 public:
  virtual ~Fs() = default;

  /// Creates or truncates the file, writes the pieces in order, syncs it to the disk.
  virtual void write(const std::filesystem::path& path,
                     std::span<const std::string_view> pieces) = 0;
  /// Replaces a file in one step; a folder may only replace an empty folder or nothing.
  virtual void rename(const std::filesystem::path& from, const std::filesystem::path& to) = 0;
  /// Makes the names in a folder durable.
  virtual void sync_folder(const std::filesystem::path& path) = 0;
  /// Makes the folder and its parents; one that is there is fine.
  virtual void make_folder(const std::filesystem::path& path) = 0;
  /// Removes a file, or a folder with all in it; one that is not there is fine.
  virtual void remove(const std::filesystem::path& path) = 0;
  /// The whole file; one larger than `limit` bytes is an Error.
  virtual std::string read(const std::filesystem::path& path, int64_t limit) = 0;
  /// An exclusive lock on a file, which is created when it is not there; none when another holds
  /// it. The lock ends with its process, however that ends.
  virtual std::optional<FileLock> lock(const std::filesystem::path& path) = 0;

  /// Writes beside (`<path>.part`), syncs, renames, syncs the folder: after a crash there is
  /// either what was there before or all of the new content.
  void replace(const std::filesystem::path& path, std::span<const std::string_view> pieces);
  void replace(const std::filesystem::path& path, std::string_view content);
  /// Puts a finished folder into its place; what was there before is removed first.
  void replace_folder(const std::filesystem::path& finished, const std::filesystem::path& place);
};

/// The real one.
Fs& system_fs();

/// For what can be made again: $XDG_CACHE_HOME/expgraph or ~/.cache/expgraph.
std::filesystem::path user_cache_folder();

}  // namespace expgraph
