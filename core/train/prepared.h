// prepared: what is done once to the samples of a data set -> its result, shared by all runs that
// do the same to the same samples.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "core/host_store.h"

namespace expgraph {

struct Prepared {
  AlignedBuffer samples;
  double seconds = 0;  ///< that it took
};

/// Keeps what was made last as long as all of it fits in `bytes`; what a run still uses lives on.
/// May be used from several threads.
class PreparedSamples {
 public:
  explicit PreparedSamples(int64_t bytes) : bytes_(bytes) {}

  /// What is kept under `key`, or what `make` gives.
  std::shared_ptr<const Prepared> get(const std::string& key,
                                      const std::function<Prepared()>& make);
  int64_t made() const { return made_; }  ///< how often something was made

 private:
  std::mutex mutex_;
  int64_t bytes_;
  int64_t made_ = 0;
  std::list<std::pair<std::string, std::shared_ptr<const Prepared>>> kept_;  ///< newest use first
};

}  // namespace expgraph
