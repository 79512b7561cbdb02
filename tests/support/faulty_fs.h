// faulty_fs: an Fs whose n-th writing call fails, for tests that try every n.
#pragma once

#include <fmt/format.h>

#include "core/support/diagnostics.h"
#include "core/support/fs.h"

namespace expgraph {

class FaultyFs final : public Fs {
 public:
  enum class Fault {
    error,  ///< that call alone fails, as on a full disk
    crash,  ///< that call is cut off half-way and nothing more is done, as when the process dies
  };

  FaultyFs(Fs& real, int64_t fail_at, Fault fault)
      : real_(real), fail_at_(fail_at), fault_(fault) {}

  /// Writing calls so far; a run without a fault tells how many there are to try.
  int64_t calls() const { return calls_; }

  void write(const std::filesystem::path& path, std::span<const std::string_view> pieces) override {
    if (!fails()) return real_.write(path, pieces);
    if (calls_ == fail_at_) tear(path, pieces);
    fault(path);
  }
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    if (fails()) fault(to);
    real_.rename(from, to);
  }
  void sync_folder(const std::filesystem::path& path) override {
    if (fails()) fault(path);
    real_.sync_folder(path);
  }
  void make_folder(const std::filesystem::path& path) override {
    if (fails()) fault(path);
    real_.make_folder(path);
  }
  void remove(const std::filesystem::path& path) override {
    if (fails()) fault(path);
    real_.remove(path);
  }
  std::string read(const std::filesystem::path& path, int64_t limit) override {
    return real_.read(path, limit);
  }
  std::optional<FileLock> lock(const std::filesystem::path& path) override {
    return real_.lock(path);
  }

 private:
  bool fails() {
    ++calls_;
    return fault_ == Fault::crash ? calls_ >= fail_at_ : calls_ == fail_at_;
  }

  void tear(const std::filesystem::path& path, std::span<const std::string_view> pieces) {
    if (pieces.empty()) return;
    const std::string_view half = pieces[0].substr(0, pieces[0].size() / 2);
    real_.write(path, std::span(&half, 1));
  }

  [[noreturn]] void fault(const std::filesystem::path& path) const {
    throw Error(fmt::format("cannot write '{}': fault at call {}", path.string(), calls_), {},
                ExitCode::environment);
  }

  Fs& real_;
  int64_t fail_at_;
  Fault fault_;
  int64_t calls_ = 0;
};

}  // namespace expgraph
