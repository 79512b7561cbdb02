// narrow_pipeline: a pipeline of the tree -> its programs, narrow and with small batches where it
// has such parameters.
#pragma once

#include <filesystem>
#include <string>

#include "core/compile.h"
#include "core/pipeline.h"
#include "tests/support/attribute.h"

namespace expgraph::test {

/// In a precision other than the pipeline's where that is given.
inline CompiledPipeline compile_narrow(const std::filesystem::path& file,
                                       CompilePipelineOptions options,
                                       const std::string& precision = "") {
  Parameters parameters;
  const yaml::Value document = yaml::parse_file(file.string());
  const yaml::Value* own = document.find("params");
  for (const char* name : {"width", "batch", "test_batch"})
    if (own != nullptr && own->find(name) != nullptr) parameters.push_back(attribute(name, "4"));
  FlatSpec spec = expand_file(file.string(), parameters, op_names());
  if (!precision.empty()) set_of_train(spec, "precision", precision);
  options.build.dataset = [](const std::string& name, const std::string& split, const Location&,
                             const Attributes&) {
    return DatasetInfo{
        .name = name, .split = split, .count = 1 << 16, .height = 32, .width = 32, .classes = 10};
  };
  return compile_pipeline(spec, options);
}
inline CompiledPipeline compile_narrow(const std::filesystem::path& file, const std::string& target,
                                       const std::string& precision = "") {
  return compile_narrow(file, CompilePipelineOptions{.backend = target}, precision);
}

}  // namespace expgraph::test
