// tiny_pipeline: a pipeline that trains in milliseconds, for tests of what surrounds training.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "core/pipeline.h"

namespace expgraph {

/// Two convolutions on generated images: crop, flip, cutout, a schedule, momentum, running
/// statistics, a smaller last batch on both sides.
inline constexpr const char* kTinyPipeline = R"(pipeline: tiny
params: {epochs: 3, peak_lr: 0.1, batch: 16, test_batch: 16, drop_last: false}
train:
  epochs: $epochs
  nodes:
    data: {op: dataset, name: shapes10, split: train, count: 40}
    normalise: {op: normalise, mean: [125, 123, 114], std: [63, 62, 67]}
    pad: {op: pad, size: 2}
    cache: cache
    crop: {op: random_crop, size: 32}
    flip: random_flip
    cutout: {op: cutout, size: 8}
    batch: {op: batch, size: $batch, shuffle: true, drop_last: $drop_last}
    net:
      nodes:
        conv1: {op: conv2d, channels: 4, kernel: 3, stride: 4, padding: 1}
        bn: batch_norm
        relu: relu
        conv2: {op: conv2d, channels: 8, kernel: 3, stride: 2, padding: 1}
        pool: {op: max_pool, size: 4}
        flatten: flatten
        linear: {op: linear, features: 10}
    loss: {op: cross_entropy, label: batch/label}
    accuracy: {op: correct, inputs: [net, batch/label]}
    lr: {op: piecewise_linear, epochs: [0, $(epochs / 3), $epochs], values: [0, $peak_lr, 0]}
    update: {op: sgd, loss: loss, lr: lr, momentum: 0.9, nesterov: true, weight_decay: 5e-4}
test:
  nodes:
    data: {op: dataset, name: shapes10, split: test, count: 24}
    normalise: {op: normalise, mean: [125, 123, 114], std: [63, 62, 67]}
    batch: {op: batch, size: $test_batch}
    net: {evaluate: ../train/net}
    loss: {op: cross_entropy, label: batch/label}
    accuracy: {op: correct, inputs: [net, batch/label]}
)";

/// `values`: YAML of parameters, "epochs: 2, batch: 8"; `nodes`: further ones of `train`, a line
/// each.
inline FlatSpec tiny_spec(const std::string& values = "",
                          const std::vector<std::string>& nodes = {}) {
  const auto source = std::make_shared<const SourceText>(SourceText{"values", "{" + values + "}"});
  Parameters parameters;
  for (const yaml::Entry& entry : yaml::parse(source).entries) {
    parameters.push_back({.name = entry.key, .value = entry.value, .where = entry.where});
  }
  std::string text = kTinyPipeline;
  for (const std::string& node : nodes) text.insert(text.find("test:\n"), "    " + node + "\n");
  return expand_text(text, "tiny.yaml", ".", parameters, op_names());
}

/// A folder of the test's own, removed with it.
struct TestFolder {
  std::filesystem::path path;
  TestFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "expgraph-XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) path = name;
  }
  ~TestFolder() { std::filesystem::remove_all(path); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
};

}  // namespace expgraph
