// fast_fs: an Fs that does not wait for the disk, for tests with thousands of writes.
#pragma once

#include <fstream>

#include "core/support/fs.h"

namespace expgraph {

class FastFs : public Fs {
 public:
  void write(const std::filesystem::path& path, std::span<const std::string_view> pieces) override {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    for (const std::string_view piece : pieces) {
      file.write(piece.data(), static_cast<std::streamsize>(piece.size()));
    }
  }
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    system_fs().rename(from, to);
  }
  void sync_folder(const std::filesystem::path&) override {}
  void make_folder(const std::filesystem::path& path) override { system_fs().make_folder(path); }
  void remove(const std::filesystem::path& path) override { system_fs().remove(path); }
  std::string read(const std::filesystem::path& path, int64_t limit) override {
    return system_fs().read(path, limit);
  }
  std::optional<FileLock> lock(const std::filesystem::path& path) override {
    return system_fs().lock(path);
  }
};

}  // namespace expgraph
