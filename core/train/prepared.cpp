// prepared: what is done once to the samples of a data set -> its result, shared by runs.
#include "core/train/prepared.h"

#include <algorithm>

namespace expgraph {

std::shared_ptr<const Prepared> PreparedSamples::get(const std::string& key,
                                                     const std::function<Prepared()>& make) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(kept_.begin(), kept_.end(),
                                  [&](const auto& entry) { return entry.first == key; });
  if (found != kept_.end()) {
    kept_.splice(kept_.begin(), kept_, found);
    return kept_.front().second;
  }
  auto result = std::make_shared<const Prepared>(make());
  ++made_;
  kept_.emplace_front(key, result);
  int64_t room = bytes_;
  std::erase_if(kept_, [&](const auto& entry) {
    room -= entry.second->samples.bytes();
    return room < 0;
  });
  return result;
}

}  // namespace expgraph
