// run_store: a run's identity -> its folder, with what it has made and is making.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/support/fs.h"
#include "core/train/record.h"

namespace expgraph {

/// All that decides the bits of a run.
struct RunIdentity {
  std::string program;     ///< of its training; program.h
  std::string evaluation;  ///< of its test; "" without one
  std::string data;        ///< identity of the data set that it trains on
  std::string test_data;   ///< and of the one that it is tested on
  int64_t seed = 0;
  std::string backend;
  std::string precision = "fp32";
  std::string code;  ///< code_version
  int threads = 1;

  /// 12 hexadecimal digits of the SHA-256 of it all.
  std::string key() const;
  /// The same without the test: runs with equal ones have equal weights.
  std::string training_key() const;
  /// Name and value, for records and comparisons.
  std::vector<std::pair<std::string, std::string>> fields() const;
};

/// What summary.json says of a finished run.
struct RunSummary {
  std::string key;
  std::string machine;
  std::string from;  ///< run whose record or weights it has taken: "study/a/0-1f0c…"; "" = none
  RunRecord record;
};

/// Name and content of a file in a run's folder.
using RunFile = std::pair<std::string, std::string>;

/// `<runs>/<study>`; names come from files of others, so all but letters, digits, '_', '-' and '.'
/// becomes '_', and no name starts with '.'.
std::filesystem::path study_folder(const std::filesystem::path& runs, const std::string& study);

/// The folder of a variant's runs.
std::filesystem::path variant_folder(const std::filesystem::path& study,
                                     const std::string& variant);

/// `<study>/<variant>/<seed>-<key>/`, locked while this lives.
class RunFolder {
 public:
  /// Error (environment) when another process holds the folder.
  RunFolder(Fs& fs, std::filesystem::path study, const std::string& variant,
            const RunIdentity& identity);

  const std::filesystem::path& path() const { return path_; }
  /// Below the study's folder.
  std::string relative() const;
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }

  /// The summary when the run is finished and of this identity.
  std::optional<RunSummary> finished() const;
  bool begun() const;  ///< has a checkpoint
  /// "no run yet", "not finished", or what differs from the run of this variant and seed that
  /// is most like it: "code, spec differ from 0-1f0c4a6d52b7".
  std::string why_due() const;

  void clear();  ///< removes all that the run has made
  /// Writes the files (spec.yaml, graph.txt, drawings) and environment.json, which has the
  /// identity, the training key and these facts.
  void begin(const std::vector<RunFile>& files,
             const std::vector<std::pair<std::string, std::string>>& facts);
  void write_epoch(const RunRecord& record);  ///< metrics.tsv, logs.tsv
  /// summary.json. `from`: the run whose record or weights it has taken.
  void finish(const RunRecord& record, const std::string& machine, const std::string& from = "");

 private:
  Fs& fs_;
  std::filesystem::path study_, path_;
  RunIdentity identity_;
  FileLock lock_;
};

/// Of any run's folder; none when it is not finished or its summary is damaged.
std::optional<RunSummary> read_summary(Fs& fs, const std::filesystem::path& folder);

/// The training key in a run's environment.json; "" when there is none.
std::string read_training_key(Fs& fs, const std::filesystem::path& folder);

/// Which runs a folder of studies holds. Built from the names of their folders alone.
class RunIndex {
 public:
  RunIndex(Fs& fs, std::filesystem::path runs);

  /// A finished run of this seed and key; its folder and its summary.
  using Found = std::pair<std::filesystem::path, RunSummary>;
  std::optional<Found> find(int64_t seed, const std::string& key) const;
  /// A finished run with this training key that has its checkpoints. The first call reads the
  /// environment.json of every run.
  std::optional<Found> find_trained(const std::string& training_key);
  /// Seeds of the finished runs of a variant of which `key_of(seed)` is the key.
  std::vector<int64_t> seeds_of(const std::filesystem::path& variant,
                                const std::function<std::string(int64_t)>& key_of) const;
  void add(const std::filesystem::path& folder, const RunIdentity& identity);
  /// "study/a/0-1f0c4a6d52b7".
  std::string name_of(const std::filesystem::path& folder) const;

 private:
  using Folders = std::multimap<std::string, std::filesystem::path>;
  Fs& fs_;
  std::filesystem::path runs_;
  Folders by_name_;  ///< "0-1f0c4a6d52b7"
  Folders by_training_;
  bool has_read_ = false;
};

}  // namespace expgraph
