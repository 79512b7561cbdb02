// run_store: a run's identity -> its folder, with what it has made and is making.
#include "core/study/run_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "core/support/diagnostics.h"
#include "core/support/hash.h"
#include "core/train/record_json.h"

namespace expgraph {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr const char* kSummary = "summary.json";
constexpr const char* kEnvironment = "environment.json";
constexpr const char* kLock = "lock";
constexpr const char* kTraining = "training";
constexpr int64_t kTextLimit = int64_t{64} << 20;

std::optional<ordered_json> read_json(Fs& files, const fs::path& path) {
  std::error_code none;
  if (!fs::exists(path, none)) return std::nullopt;
  ordered_json json = ordered_json::parse(files.read(path, kTextLimit), nullptr, false);
  if (!json.is_object()) return std::nullopt;
  return json;
}

std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}

std::string folder_name(std::string name) {
  for (char& c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > 0x7f || (!std::isalnum(byte) && c != '_' && c != '-' && c != '.')) c = '_';
  }
  return name.empty() || name.front() == '.' ? fmt::format("_{}", name) : name;
}

}  // namespace

fs::path study_folder(const fs::path& runs, const std::string& study) {
  return runs / folder_name(study);
}

fs::path variant_folder(const fs::path& study, const std::string& variant) {
  return study / folder_name(variant);
}

std::vector<std::pair<std::string, std::string>> RunIdentity::fields() const {
  return {{"program", program},
          {"evaluation", evaluation},
          {"data", data},
          {"test_data", test_data},
          {"seed", fmt::format("{}", seed)},
          {"backend", backend},
          {"precision", precision},
          {"code", code},
          {"threads", fmt::format("{}", threads)}};
}

std::string RunIdentity::key() const {
  std::string text;
  for (const auto& [name, value] : fields()) text += fmt::format("{}={}\n", name, value);
  return content_hash(text).substr(0, 12);
}

std::string RunIdentity::training_key() const {
  RunIdentity training = *this;
  training.evaluation = training.test_data = "";
  return training.key();
}

RunFolder::RunFolder(Fs& files, fs::path study, const std::string& variant,
                     const RunIdentity& identity)
    : fs_(files),
      study_(std::move(study)),
      path_(variant_folder(study_, variant) / fmt::format("{}-{}", identity.seed, identity.key())),
      identity_(identity) {
  fs_.make_folder(path_);
  auto lock = fs_.lock(path_ / kLock);
  if (!lock) {
    throw Error(fmt::format("another process is at this run: '{}'", path_.string()), {},
                ExitCode::environment);
  }
  lock_ = std::move(*lock);
}

std::string RunFolder::relative() const { return path_.lexically_relative(study_).string(); }

std::optional<RunSummary> read_summary(Fs& files, const fs::path& folder) {
  const fs::path path = folder / kSummary;
  const auto json = read_json(files, path);
  if (!json) return std::nullopt;
  try {
    RunSummary out{.key = json->at("key"),
                   .machine = json->at("machine"),
                   .from = json->at("from"),
                   .record = parse_record(json->at("record"), path.string())};
    if (!out.record.finished()) return std::nullopt;
    return out;
  } catch (const ordered_json::exception&) {
    return std::nullopt;
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::string read_training_key(Fs& files, const fs::path& folder) {
  const auto json = read_json(files, folder / kEnvironment);
  if (!json || !json->contains(kTraining) || !(*json)[kTraining].is_string()) return "";
  return (*json)[kTraining];
}

std::optional<RunSummary> RunFolder::finished() const {
  auto summary = read_summary(fs_, path_);
  if (summary && summary->key != identity_.key()) return std::nullopt;
  return summary;
}

bool RunFolder::begun() const { return !entries(checkpoints()).empty(); }

std::string RunFolder::why_due() const {
  if (begun()) return "not finished";
  std::string nearest;
  std::vector<std::string> fewest;
  for (const fs::path& other : entries(path_.parent_path())) {
    const auto environment = read_json(fs_, other / kEnvironment);
    if (!environment || other == path_ || !environment->contains("identity")) continue;
    const ordered_json& json = (*environment)["identity"];
    std::vector<std::string> different;
    for (const auto& [name, value] : identity_.fields()) {
      if (!json.contains(name) || json[name] != value) different.push_back(name);
    }
    const bool same_seed = std::find(different.begin(), different.end(), "seed") == different.end();
    if (!same_seed || (!nearest.empty() && different.size() >= fewest.size())) continue;
    nearest = other.filename();
    fewest = different;
  }
  if (nearest.empty()) return "no run yet";
  return fmt::format("{} changed since {}", fmt::join(fewest, ", "), nearest);
}

void RunFolder::clear() {
  // The summary first: what is left after a crash must not look finished.
  fs_.remove(path_ / kSummary);
  for (const fs::path& entry : entries(path_)) {
    if (entry.filename() != kLock) fs_.remove(entry);
  }
}

void RunFolder::begin(const std::vector<RunFile>& files,
                      const std::vector<std::pair<std::string, std::string>>& facts) {
  ordered_json environment = {{"identity", ordered_json::object()},
                              {kTraining, identity_.training_key()}};
  for (const auto& [name, value] : identity_.fields()) environment["identity"][name] = value;
  for (const auto& [name, value] : facts) environment[name] = value;
  fs_.replace(path_ / kEnvironment, environment.dump(2) + "\n");
  for (const auto& [name, content] : files) fs_.replace(path_ / name, content);
}

void RunFolder::write_epoch(const RunRecord& record) {
  fs_.replace(path_ / "metrics.tsv", metrics_tsv(record));
  const std::string logs = logs_tsv(record);
  if (!logs.empty()) fs_.replace(path_ / "logs.tsv", logs);
}

void RunFolder::finish(const RunRecord& record, const std::string& machine,
                       const std::string& from) {
  write_epoch(record);
  ordered_json last = ordered_json::object();
  for (size_t k = 0; k < record.metrics.size(); ++k) {
    last[record.metrics[k].name] = record.history.back().metrics[k];
  }
  const ordered_json summary = {{"key", identity_.key()},
                                {"seed", identity_.seed},
                                {"backend", identity_.backend},
                                {"machine", machine},
                                {"from", from},
                                {"training_seconds", record.clocks.training()},
                                {"metrics", std::move(last)},
                                {"record", to_json(record)}};
  fs_.replace(path_ / kSummary, summary.dump(2) + "\n");
}

}  // namespace expgraph
