// run_store: a run's identity -> its folder, with what it has made and is making.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/support/fs.h"
#include "core/train/record.h"

namespace expgraph {

/// All that decides the bits of a run.
struct RunIdentity {
  std::string spec;  ///< canonical YAML of the edited pipeline
  std::string data;  ///< identities of its data sets
  int64_t seed = 0;
  std::string backend;
  std::string precision = "fp32";
  std::string code;  ///< code_version

  /// 12 hexadecimal digits of the SHA-256 of it all.
  std::string key() const;
  /// Name and value (the spec as its hash), for records and comparisons.
  std::vector<std::pair<std::string, std::string>> fields() const;
};

/// What summary.json says of a finished run.
struct RunSummary {
  std::string key;
  std::string machine;
  RunRecord record;
};

/// Name and content of a file in a run's folder.
using RunFile = std::pair<std::string, std::string>;

/// `<runs>/<study>`; names come from files of others, so all but letters, digits, '_', '-' and '.'
/// becomes '_', and no name starts with '.'.
std::filesystem::path study_folder(const std::filesystem::path& runs, const std::string& study);

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
  /// identity and these facts.
  void begin(const std::vector<RunFile>& files,
             const std::vector<std::pair<std::string, std::string>>& facts);
  void write_epoch(const RunRecord& record);                         ///< metrics.tsv, logs.tsv
  void finish(const RunRecord& record, const std::string& machine);  ///< summary.json

 private:
  Fs& fs_;
  std::filesystem::path study_, path_;
  RunIdentity identity_;
  FileLock lock_;
};

/// Of any run's folder; none when it is not finished or its summary is damaged.
std::optional<RunSummary> read_summary(Fs& fs, const std::filesystem::path& folder);

}  // namespace expgraph
