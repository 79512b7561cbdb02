// open_pipeline: FlatSpec -> its programs, with its data sets open and of their true sizes.
#include "core/train/open_pipeline.h"

#include <chrono>

namespace expgraph {

std::shared_ptr<const Dataset> OpenDatasets::open(const std::string& name, const std::string& split,
                                                  const Location& where,
                                                  const Attributes& attributes) {
  const std::string key = name + "/" + split + to_text(attributes);
  const std::lock_guard lock(mutex_);
  auto& slot = open_[key];
  if (slot == nullptr) {
    const auto start = std::chrono::steady_clock::now();
    slot = open_dataset(name, split, attributes, options_, where);
    seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  return slot;
}

double OpenDatasets::seconds() const {
  const std::lock_guard lock(mutex_);
  return seconds_;
}

OpenPipeline open_pipeline(const FlatSpec& spec, CompilePipelineOptions options,
                           OpenDatasets& datasets) {
  std::vector<std::shared_ptr<const Dataset>> asked;  // of train, then of test
  options.build.dataset = [&](const std::string& name, const std::string& split,
                              const Location& where, const Attributes& attributes) {
    asked.push_back(datasets.open(name, split, where, attributes));
    return asked.back()->info;
  };
  OpenPipeline out{.compiled = compile_pipeline(spec, options), .train = nullptr, .test = nullptr};
  EXPGRAPH_CHECK(asked.size() == (out.compiled.test ? 2U : 1U));
  out.train = asked.front();
  if (out.compiled.test) out.test = asked.back();
  return out;
}

}  // namespace expgraph
