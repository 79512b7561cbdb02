// open_pipeline: FlatSpec -> its programs, with its data sets open and of their true sizes.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "core/compile.h"
#include "core/data/dataset.h"

namespace expgraph {

/// Data sets that are open, each once however many variants and seeds use it; may be used from
/// several threads.
class OpenDatasets {
 public:
  explicit OpenDatasets(DataOptions options) : options_(std::move(options)) {}
  std::shared_ptr<const Dataset> open(const std::string& name, const std::string& split,
                                      const Location& where, const Attributes& attributes);
  double seconds() const;  ///< spent opening, decoding, generating

 private:
  mutable std::mutex mutex_;
  DataOptions options_;
  std::map<std::string, std::shared_ptr<const Dataset>> open_;
  double seconds_ = 0;
};

struct OpenPipeline {
  CompiledPipeline compiled;
  std::shared_ptr<const Dataset> train;
  std::shared_ptr<const Dataset> test;  ///< null when there is no test side
};

/// compile_pipeline with the sizes of the data that is there. Errors as those of compile_pipeline
/// and open_dataset.
OpenPipeline open_pipeline(const FlatSpec& spec, CompilePipelineOptions options,
                           OpenDatasets& datasets);

}  // namespace expgraph
