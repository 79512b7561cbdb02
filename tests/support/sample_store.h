// sample_store: a study's folder with drawings, environments and made-up results, for tests of what
// is read from a store.
#pragma once

#include "core/study/result.h"
#include "tests/support/temporary_folder.h"

namespace expgraph {

/// Three variants, two seeds each; the nets of the first two are equal, the last two have edits.
class SampleStore {
 public:
  SampleStore();
  const std::filesystem::path& folder() const { return folder_.path; }
  const StudyResult& result() const { return result_; }
  StudyResult& result() { return result_; }
  /// Puts a file below the study's folder.
  void write(const std::string& path, const std::string& text) const;

 private:
  TemporaryFolder folder_;
  StudyResult result_;
};

}  // namespace expgraph
