// fs: file operations through POSIX, each checked.
#include "core/support/fs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <cstdlib>

#include "core/support/diagnostics.h"

namespace expgraph {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(std::string_view action, const fs::path& path, int reason) {
  std::string why = std::generic_category().message(reason);
  why[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(why[0])));
  throw Error(fmt::format("cannot {} '{}': {}", action, path.string(), why), {},
              ExitCode::environment);
}

/// A file descriptor that is closed at the end of its scope.
class Descriptor {
 public:
  Descriptor(const fs::path& path, int flags, std::string_view action)
      : number_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {
    if (number_ < 0) fail(action, path, errno);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { ::close(number_); }
  int number() const { return number_; }

 private:
  int number_;
};

class SystemFs final : public Fs {
 public:
  void write(const fs::path& path, std::span<const std::string_view> pieces) override {
    const Descriptor file(path, O_WRONLY | O_CREAT | O_TRUNC, "write");
    for (std::string_view rest : pieces) {
      while (!rest.empty()) {
        const ssize_t written = ::write(file.number(), rest.data(), rest.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) fail("write", path, errno);
        rest.remove_prefix(static_cast<size_t>(written));
      }
    }
    if (::fsync(file.number()) != 0) fail("write", path, errno);
  }

  void rename(const fs::path& from, const fs::path& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) fail("replace", to, errno);
  }

  void sync_folder(const fs::path& path) override {
    const Descriptor folder(path, O_RDONLY | O_DIRECTORY, "open");
    if (::fsync(folder.number()) != 0) fail("write", path, errno);
  }

  void make_folder(const fs::path& path) override {
    std::error_code error;
    fs::create_directories(path, error);
    if (error) fail("make", path, error.value());
  }

  void remove(const fs::path& path) override {
    std::error_code error;
    fs::remove_all(path, error);
    if (error) fail("remove", path, error.value());
  }

  std::string read(const fs::path& path, int64_t limit) override {
    const Descriptor file(path, O_RDONLY, "read");
    struct stat status {};
    if (::fstat(file.number(), &status) != 0) fail("read", path, errno);
    if (S_ISDIR(status.st_mode)) fail("read", path, EISDIR);
    if (status.st_size > limit) {
      throw Error(fmt::format("'{}' has {} bytes, expected at most {}", path.string(),
                              static_cast<int64_t>(status.st_size), limit),
                  {}, ExitCode::environment);
    }
    std::string content(static_cast<size_t>(status.st_size), '\0');
    size_t filled = 0;
    while (filled < content.size()) {
      const ssize_t got = ::read(file.number(), content.data() + filled, content.size() - filled);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail("read", path, errno);
      if (got == 0) break;
      filled += static_cast<size_t>(got);
    }
    content.resize(filled);
    return content;
  }

  std::optional<FileLock> lock(const fs::path& path) override {
    auto file = std::make_shared<Descriptor>(path, O_RDWR | O_CREAT, "lock");
    if (::flock(file->number(), LOCK_EX | LOCK_NB) == 0) return file;
    if (errno == EWOULDBLOCK) return std::nullopt;
    fail("lock", path, errno);
  }
};

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

}  // namespace

void Fs::replace(const fs::path& path, std::span<const std::string_view> pieces) {
  fs::path part = path;
  part += ".part";
  write(part, pieces);
  rename(part, path);
  sync_folder(folder_of(path));
}

void Fs::replace(const fs::path& path, std::string_view content) {
  replace(path, std::span(&content, 1));
}

void Fs::replace_folder(const fs::path& finished, const fs::path& place) {
  sync_folder(finished);
  remove(place);
  rename(finished, place);
  sync_folder(folder_of(place));
}

Fs& system_fs() {
  static SystemFs fs;
  return fs;
}

std::filesystem::path user_cache_folder() {
  const auto in = [](const char* variable) {
    const char* value = std::getenv(variable);
    return std::filesystem::path(value == nullptr ? "" : value);
  };
  if (const auto cache = in("XDG_CACHE_HOME"); !cache.empty()) return cache / "expgraph";
  if (const auto home = in("HOME"); !home.empty()) return home / ".cache" / "expgraph";
  return std::filesystem::temp_directory_path() / "expgraph";
}

}  // namespace expgraph
