// checkpoints: the states and the record of a run after an epoch <-> a folder that survives a
// crash.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "core/backend.h"
#include "core/support/fs.h"
#include "core/train/record.h"

namespace expgraph {

/// `<folder>/epoch-0003/`: states.safetensors, and manifest.json with its SHA-256, its size and the
/// record up to there (with a SHA-256 of its own). Each is written beside and renamed into place.
class Checkpoints {
 public:
  static constexpr size_t kKept = 2;

  Checkpoints(Fs& fs, std::filesystem::path folder) : fs_(fs), folder_(std::move(folder)) {}

  /// After the last epoch of the record's history; then removes all but the newest two.
  void write(const RunRecord& record, const StateStore& states);

  /// Reads the newest checkpoint that is whole and fits the states into them, and returns its
  /// record; none when there is none. `warn` is told of each that is damaged. With `epoch`, only
  /// that one is looked at.
  std::optional<RunRecord> restore(StateStore& states,
                                   const std::function<void(const std::string&)>& warn,
                                   std::optional<int64_t> epoch = {}) const;

 private:
  std::vector<int64_t> epochs() const;  ///< that have a folder, newest first
  std::filesystem::path folder_of(int64_t epoch) const;
  RunRecord read(int64_t epoch, StateStore& states) const;

  Fs& fs_;
  std::filesystem::path folder_;
};

}  // namespace expgraph
