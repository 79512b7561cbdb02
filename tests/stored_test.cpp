// What runs have stored and someone has changed since: each mistake is told by name, so that a
// checkpoint is never restored in part.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "core/host_store.h"
#include "core/support/hash.h"
#include "core/train/checkpoints.h"
#include "core/train/record_json.h"
#include "core/train/safetensors.h"
#include "tests/support/temporary_folder.h"

using namespace expgraph;
using nlohmann::ordered_json;
namespace fs = std::filesystem;

namespace {

RunRecord some_record(int64_t epochs_done) {
  RunRecord record;
  record.metrics = {{"test/accuracy", true}};
  record.epochs = 3;
  for (int64_t epoch = 1; epoch <= epochs_done; ++epoch) {
    record.history.push_back({.epoch = epoch, .metrics = {0.5}});
  }
  return record;
}

/// What is wrong with a record after a change of its JSON.
std::string record_error(const std::function<void(ordered_json&)>& change) {
  ordered_json json = to_json(some_record(2));
  change(json);
  try {
    parse_record(json, "summary.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string tensors_error(std::string header) {
  const uint64_t length = header.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  bytes += header + std::string(4, '\0');
  try {
    parse_safetensors(std::as_writable_bytes(std::span(bytes)), "states");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

void create(HostStateStore& store, const std::string& name, const Shape& shape) {
  store.create(name, {DType::f32, shape});
}

/// The warnings of restoring a checkpoint of the state a f32[2] into `store`, its manifest changed
/// and signed again.
std::string restore_warning(HostStateStore& store,
                            const std::function<void(ordered_json&)>& change) {
  const TemporaryFolder folder;
  Checkpoints checkpoints(system_fs(), folder.path);
  HostStateStore saved;
  create(saved, "a", {2});
  checkpoints.write(some_record(1), saved);
  const fs::path file = folder.path / "epoch-0001" / "manifest.json";
  ordered_json manifest = ordered_json::parse(system_fs().read(file, 100'000));
  change(manifest["content"]);
  manifest["sha256"] = content_hash(manifest["content"].dump());
  std::ofstream(file) << manifest.dump(1);
  std::string warnings;
  const auto warn = [&](const std::string& text) { warnings += text; };
  const auto restored = checkpoints.restore(store, warn);
  return restored ? "no error" : warnings;
}

bool contains(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a record that does not hold together is refused") {
  CHECK(record_error([](ordered_json&) {}) == "no error");
  CHECK(contains(record_error([](ordered_json& json) { json.erase("steps"); }),
                 "summary.json holds no valid record: "));
  CHECK(record_error([](ordered_json& json) { json["history"][1]["epoch"] = 3; }) ==
        "summary.json holds no valid record: row 2 of its history is of epoch 3, with 1 of 1 "
        "metrics");
  CHECK(record_error([](ordered_json& json) { json["epochs"] = 1; }) ==
        "summary.json holds no valid record: 1 metrics, 2 of 1 epochs");
}

TEST_CASE("a tensor without its type or its place is refused") {
  CHECK(tensors_error(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})") == "no error");
  CHECK(tensors_error(R"({"a":{"shape":[1],"data_offsets":[0,4]}})") ==
        "states is no valid safetensors file: 'a' has no dtype");
  CHECK(tensors_error(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})") ==
        "states is no valid safetensors file: 'a' has no valid 'data_offsets'");
}

TEST_CASE("a checkpoint of another format, epoch or net is not restored, and why is told") {
  const auto unchanged = [](ordered_json&) {};
  HostStateStore same;
  create(same, "a", {2});
  CHECK(restore_warning(same, unchanged) == "no error");
  CHECK(contains(restore_warning(same, [](ordered_json& content) { content["format"] = 99; }),
                 "manifest.json is of another format"));
  CHECK(contains(restore_warning(same,
                                 [](ordered_json& content) {
                                   content["record"]["history"] = ordered_json::array();
                                 }),
                 "manifest.json is not of epoch 1"));
  HostStateStore more;
  create(more, "a", {2});
  create(more, "b", {2});
  CHECK(contains(restore_warning(more, unchanged), " holds 1 states, the net has 2"));
  HostStateStore other;
  create(other, "a", {3});
  CHECK(contains(restore_warning(other, unchanged),
                 " holds 'a' as f32[2], which the net does not have"));
}
