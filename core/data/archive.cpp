// archive: a tar or zip file, or a folder -> its files, in memory.
#include "core/data/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "core/support/diagnostics.h"
#include "core/support/fs.h"

namespace expgraph {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBlock = 1 << 16;

using Reader = std::unique_ptr<::archive, int (*)(::archive*)>;

[[noreturn]] void fail(const fs::path& place, std::string_view what) {
  throw Error(fmt::format("cannot read '{}': {}", place.string(), what), {}, ExitCode::environment);
}

/// Files so far and their bytes, kept under the limits.
class Budget {
 public:
  Budget(const fs::path& place, const ArchiveLimits& limits) : place_(place), limits_(limits) {}

  void add_file(std::string_view path) {
    file_bytes_ = 0;
    path_ = path;
    if (++files_ > limits_.files) {
      fail(place_, fmt::format("more than {} files", limits_.files));
    }
  }

  void add_bytes(int64_t bytes) {
    file_bytes_ += bytes;
    total_bytes_ += bytes;
    if (file_bytes_ > limits_.file_bytes) {
      fail(place_, fmt::format("'{}' has more than {} bytes", path_, limits_.file_bytes));
    }
    if (total_bytes_ > limits_.total_bytes) {
      fail(place_, fmt::format("more than {} bytes in all", limits_.total_bytes));
    }
  }

 private:
  fs::path place_;
  ArchiveLimits limits_;
  std::string path_;
  int64_t files_ = 0, file_bytes_ = 0, total_bytes_ = 0;
};

std::string reason(::archive* reader) {
  const char* text = archive_error_string(reader);
  return text != nullptr ? text : "unknown format";
}

std::string read_entry(::archive* reader, const fs::path& place, Budget& budget) {
  std::string content;
  std::string block(kBlock, '\0');
  for (la_ssize_t got; (got = archive_read_data(reader, block.data(), block.size())) != 0;) {
    if (got < 0) fail(place, reason(reader));
    budget.add_bytes(got);
    content.append(block, 0, static_cast<size_t>(got));
  }
  return content;
}

}  // namespace

std::vector<PackedFile> read_archive(const fs::path& archive, const ArchiveLimits& limits,
                                     const std::function<void(double)>& progress) {
  const Reader reader(archive_read_new(), archive_read_free);
  EXPGRAPH_CHECK(reader != nullptr);
  archive_read_support_filter_all(reader.get());
  archive_read_support_format_tar(reader.get());
  archive_read_support_format_zip(reader.get());
  if (archive_read_open_filename(reader.get(), archive.c_str(), kBlock) != ARCHIVE_OK) {
    fail(archive, reason(reader.get()));
  }
  const auto size = static_cast<double>(std::max<uintmax_t>(fs::file_size(archive), 1));
  std::vector<PackedFile> files;
  Budget budget(archive, limits);
  for (;;) {
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(reader.get(), &entry);
    if (status == ARCHIVE_EOF) break;
    if (status < ARCHIVE_WARN) fail(archive, reason(reader.get()));
    const char* path = archive_entry_pathname(entry);
    if (archive_entry_filetype(entry) != AE_IFREG || path == nullptr) continue;
    budget.add_file(path);
    files.push_back({path, read_entry(reader.get(), archive, budget)});
    if (progress && files.size() % 256 == 0) {
      progress(static_cast<double>(archive_filter_bytes(reader.get(), -1)) / size);
    }
  }
  return files;
}

std::vector<PackedFile> read_folder(const fs::path& folder, const ArchiveLimits& limits,
                                    const std::function<void(double)>& progress) {
  std::vector<fs::path> paths;
  std::error_code error;
  Budget budget(folder, limits);
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    if (at->is_symlink() || !at->is_regular_file()) continue;
    budget.add_file(at->path().string());
    paths.push_back(at->path());
  }
  if (error) fail(folder, error.message());
  std::vector<PackedFile> files;
  Budget bytes(folder, limits);
  for (const fs::path& path : paths) {
    bytes.add_file(path.string());
    std::string content = system_fs().read(path, limits.file_bytes);
    bytes.add_bytes(static_cast<int64_t>(content.size()));
    files.push_back({path.lexically_relative(folder).generic_string(), std::move(content)});
    if (progress && files.size() % 256 == 0) {
      progress(static_cast<double>(files.size()) / static_cast<double>(paths.size()));
    }
  }
  return files;
}

}  // namespace expgraph
