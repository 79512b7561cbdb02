// run_index: a folder of studies -> the runs in it by key, to be reused wherever they were made.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/study/run_store.h"

namespace expgraph {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> folders_in(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    if (entry.is_directory(none)) out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::string run_name(int64_t seed, const std::string& key) {
  return fmt::format("{}-{}", seed, key);
}

}  // namespace

RunIndex::RunIndex(Fs& files, fs::path runs) : fs_(files), runs_(std::move(runs)) {
  for (const fs::path& study : folders_in(runs_)) {
    for (const fs::path& variant : folders_in(study)) {
      for (const fs::path& run : folders_in(variant)) by_name_.emplace(run.filename(), run);
    }
  }
}

std::optional<RunIndex::Found> RunIndex::find(int64_t seed, const std::string& key) const {
  const auto [first, last] = by_name_.equal_range(run_name(seed, key));
  for (auto it = first; it != last; ++it) {
    auto summary = read_summary(fs_, it->second);
    if (summary && summary->key == key) return Found{it->second, std::move(*summary)};
  }
  return std::nullopt;
}

std::optional<RunIndex::Found> RunIndex::find_trained(const std::string& training_key) {
  if (!has_read_) {
    for (const auto& [name, folder] : by_name_) {
      const std::string key = read_training_key(fs_, folder);
      if (!key.empty()) by_training_.emplace(key, folder);
    }
    has_read_ = true;
  }
  const auto [first, last] = by_training_.equal_range(training_key);
  for (auto it = first; it != last; ++it) {
    std::error_code none;
    if (!fs::exists(it->second / "checkpoints", none)) continue;
    if (auto summary = read_summary(fs_, it->second)) return Found{it->second, std::move(*summary)};
  }
  return std::nullopt;
}

std::vector<int64_t> RunIndex::seeds_of(const fs::path& variant,
                                        const std::function<std::string(int64_t)>& key_of) const {
  std::vector<int64_t> out;
  for (const fs::path& run : folders_in(variant)) {
    const std::string name = run.filename();
    int64_t seed = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), seed);
    if (error != std::errc() || name != run_name(seed, key_of(seed))) continue;
    if (read_summary(fs_, run)) out.push_back(seed);
  }
  std::sort(out.begin(), out.end());
  return out;
}

void RunIndex::add(const fs::path& folder, const RunIdentity& identity) {
  by_name_.emplace(folder.filename(), folder);
  if (has_read_) by_training_.emplace(identity.training_key(), folder);
}

std::string RunIndex::name_of(const fs::path& folder) const {
  return folder.lexically_relative(runs_).string();
}

}  // namespace expgraph
