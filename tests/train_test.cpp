// train_test: one run: its bits, its clocks, its checkpoints, and what ends it.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>

#include "core/host_store.h"
#include "core/support/hash.h"
#include "core/train/batches.h"
#include "core/train/checkpoints.h"
#include "core/train/runner.h"
#include "core/train/safetensors.h"
#include "tests/support/fast_fs.h"
#include "tests/support/faulty_fs.h"
#include "tests/support/tiny_pipeline.h"

using namespace expgraph;
namespace fs = std::filesystem;

namespace {

/// Generated once for all tests of this program.
OpenDatasets& datasets() {
  static const TestFolder cache;
  static OpenDatasets opened({.path = "", .cache = cache.path.string(), .progress = {}});
  return opened;
}

RunRecord train(const FlatSpec& spec, const fs::path& checkpoints, RunOptions options = {},
                const std::string& backend = "reference") {
  options.threads = backend == "reference" ? 1 : 2;
  options.checkpoints = checkpoints.string();
  return run_pipeline(spec, load_backend(backend), datasets(), system_fs(), options);
}

/// Everything but the times: metrics to the bit.
std::vector<std::vector<double>> metrics_of(const RunRecord& record) {
  std::vector<std::vector<double>> out;
  for (const EpochRecord& row : record.history) out.push_back(row.metrics);
  return out;
}

std::string hash_of_states(const fs::path& checkpoints, int epoch) {
  return file_hash(checkpoints / fmt::format("epoch-{:04}", epoch) / "states.safetensors");
}

std::string message_of(const std::function<void()>& action, ExitCode code) {
  try {
    action();
  } catch (const Error& error) {
    CHECK(static_cast<int>(error.code()) == static_cast<int>(code));
    return error.what();
  }
  return "no error";
}

void damage(const fs::path& file, std::streamoff at) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(at);
  const int byte = stream.get();
  stream.seekp(at);
  stream.put(static_cast<char>(byte ^ 1));
}

/// A store of two states, all elements of which are `value`.
void fill(HostStateStore& store, float value) {
  const std::vector<float> data(6, value);
  for (const char* name : {"a", "b"}) {
    const TensorType type{DType::f32, {2, 3}};
    store.create(name, type);
    store.write(name, {type, const_cast<float*>(data.data())});
  }
}

float first_of(const HostStateStore& store, const std::string& name) {
  std::array<float, 6> data{};
  store.read(name, {{DType::f32, {2, 3}}, data.data()});
  return data[0];
}

RunRecord record_after(int epochs) {
  RunRecord record{.metrics = {{"test/accuracy", true}}, .epochs = 9, .clocks = {}, .history = {}};
  for (int epoch = 1; epoch <= epochs; ++epoch) {
    record.history.push_back({.epoch = epoch, .metrics = {epoch / 3.0}, .seconds = 0.1 * epoch});
  }
  return record;
}

}  // namespace

TEST_CASE("safetensors: what is written is read back, and the header says where it lies") {
  std::vector<float> weights = {1, 2, 3, 4, 5, 6};
  std::vector<uint8_t> bytes = {7, 8, 9};
  const std::vector<NamedTensor> tensors = {{"net/w", {{DType::f32, {2, 3}}, weights.data()}},
                                            {"index", {{DType::u8, {3}}, bytes.data()}}};
  std::string file = safetensors_header(tensors);
  CHECK(file.size() % 64 == 0);
  CHECK(file.substr(8).starts_with(
      R"({"net/w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"index":{)"));
  file.append(reinterpret_cast<const char*>(weights.data()), 24);
  file.append(reinterpret_cast<const char*>(bytes.data()), 3);
  const auto read = parse_safetensors(std::as_writable_bytes(std::span(file)), "file");
  REQUIRE(read.size() == 2);
  CHECK(read[0].name == "net/w");
  CHECK(read[0].tensor.type == tensors[0].tensor.type);
  CHECK(std::memcmp(read[0].tensor.data, weights.data(), 24) == 0);
  CHECK(std::memcmp(read[1].tensor.data, bytes.data(), 3) == 0);
}

TEST_CASE("safetensors: sizes and offsets that lie are errors") {
  const auto complaint = [](const std::string& header, size_t data_bytes) {
    std::string file(8, '\0');
    const uint64_t length = header.size();
    std::memcpy(file.data(), &length, 8);
    file += header + std::string(data_bytes, 'x');
    return message_of([&] { parse_safetensors(std::as_writable_bytes(std::span(file)), "f"); },
                      ExitCode::invalid);
  };
  const std::string is_no = "f is no valid safetensors file: ";
  CHECK(complaint("{}", 0) == "no error");
  CHECK(complaint("[", 0) == is_no + "its header is no JSON object");
  CHECK(complaint("{}", 4) == is_no + "its tensors take 0 bytes of 4");
  const auto one = [](const char* dtype, const char* shape, const char* offsets) {
    return fmt::format(R"({{"a":{{"dtype":"{}","shape":{},"data_offsets":{}}}}})", dtype, shape,
                       offsets);
  };
  CHECK(complaint(one("F32", "[2]", "[0,8]"), 8) == "no error");
  CHECK(complaint(one("F32", "[2]", "[0,8]"), 7) == is_no + "'a' lies at 0 to 8 of 7 bytes");
  CHECK(complaint(one("F32", "[2]", "[8,0]"), 8) == is_no + "'a' lies at 8 to 0 of 8 bytes");
  CHECK(complaint(one("F32", "[3]", "[0,8]"), 8) ==
        is_no + "'a' is f32[3] of 12 bytes, but 8 are given");
  CHECK(complaint(one("F32", "[1]", "[4,8]"), 8) ==
        is_no + "there is a gap or an overlap before 'a'");
  CHECK(complaint(one("I64", "[1]", "[0,8]"), 8) == is_no + "'a' has the unknown dtype 'I64'");
  CHECK(complaint(one("F32", "[-2]", "[0,8]"), 8) == is_no + "'a' has no valid 'shape'");
  CHECK(complaint(one("F32", "[4611686018427387904,4]", "[0,0]"), 0) ==
        is_no + "'a' is larger than any memory");
  std::string cut = "1234567";
  CHECK(message_of([&] { parse_safetensors(std::as_writable_bytes(std::span(cut)), "f"); },
                   ExitCode::invalid) == is_no + "it has 7 bytes");
  std::string long_header(16, '\xff');
  CHECK(message_of([&] { parse_safetensors(std::as_writable_bytes(std::span(long_header)), "f"); },
                   ExitCode::invalid) ==
        is_no + "its header has 18446744073709551615 bytes, at most 8 are possible");
}

TEST_CASE("checkpoints: the newest two are kept, and a damaged one falls back to the one before") {
  const TestFolder folder;
  Checkpoints checkpoints(system_fs(), folder.path);
  HostStateStore store;
  for (int epoch = 1; epoch <= 3; ++epoch) {
    fill(store, static_cast<float>(epoch));
    checkpoints.write(record_after(epoch), store);
  }
  CHECK(!fs::exists(folder.path / "epoch-0001"));
  std::vector<std::string> warnings;
  const auto warn = [&](const std::string& text) { warnings.push_back(text); };
  fill(store, 0);
  CHECK(checkpoints.restore(store, warn)->history == record_after(3).history);
  CHECK(first_of(store, "b") == 3);
  CHECK(warnings.empty());

  const fs::path newest = folder.path / "epoch-0003/states.safetensors";
  damage(newest, static_cast<std::streamoff>(fs::file_size(newest)) - 1);
  CHECK(checkpoints.restore(store, warn)->history == record_after(2).history);
  CHECK(first_of(store, "b") == 2);
  CHECK(warnings == std::vector<std::string>{"checkpoint skipped: " + newest.string() +
                                             " does not have its checksum"});

  damage(folder.path / "epoch-0002/manifest.json", 200);
  fill(store, 0);
  CHECK(!checkpoints.restore(store, warn));
  CHECK(first_of(store, "b") == 0);
  CHECK(warnings.size() == 3);
}

TEST_CASE("checkpoints: states that the net does not have are not restored") {
  const TestFolder folder;
  Checkpoints checkpoints(system_fs(), folder.path);
  HostStateStore store;
  fill(store, 1);
  checkpoints.write(record_after(1), store);
  HostStateStore other;
  fill(other, 5);
  other.create("c", {DType::f32, {1}});
  CHECK(!checkpoints.restore(other, {}));
  CHECK(first_of(other, "a") == 5);
}

TEST_CASE("checkpoints: a fault at any write leaves one that is whole") {
  for (const auto fault : {FaultyFs::Fault::error, FaultyFs::Fault::crash}) {
    int64_t tried = 0;
    for (bool complete = false; !complete; ++tried) {
      const TestFolder folder;
      FastFs fast;
      FaultyFs faulty(fast, tried + 1, fault);
      Checkpoints checkpoints(faulty, folder.path);
      HostStateStore store;
      int written = 0;
      try {
        for (int epoch = 1; epoch <= 4; ++epoch) {
          fill(store, static_cast<float>(epoch));
          checkpoints.write(record_after(epoch), store);
          written = epoch;
        }
        complete = true;
      } catch (const Error& error) {
        CHECK(error.code() == ExitCode::environment);
      }
      fill(store, 0);
      const auto restored = Checkpoints(system_fs(), folder.path).restore(store, {});
      const int64_t epoch = restored ? restored->history.back().epoch : 0;
      CHECK(first_of(store, "a") == static_cast<float>(epoch));
      CHECK(epoch >= written);
    }
    CHECK(tried > 20);
  }
}

TEST_CASE("logs.tsv is DAWNBench's: epoch, hours, accuracy in percent") {
  RunRecord record{
      .metrics = {{"train/loss", false}, {"test/loss", false}, {"test/accuracy", true}},
      .epochs = 2,
      .clocks = {},
      .history = {}};
  record.history.push_back({1, 0.4, {2.3, 2.1, 0.5123}, 36, 1000});
  record.history.push_back({2, 0, {1.3, 1.1, 0.94}, 79.2, 1000});
  CHECK(logs_tsv(record) ==
        "epoch\thours\ttop1Accuracy\n1\t0.01000000\t51.23\n2\t0.02200000\t94.00\n");
  CHECK(metrics_tsv(record) ==
        "epoch\tlearning_rate\ttrain/loss\ttest/loss\ttest/accuracy\tseconds\timages_per_second\n"
        "1\t0.4\t2.3\t2.1\t0.5123\t36.000\t1000.0\n2\t0\t1.3\t1.1\t0.94\t79.200\t1000.0\n");
}

TEST_CASE("an epoch is every sample once, the same in any batch size") {
  const auto epoch_of = [](int64_t batch, int64_t epoch) {
    const OpenPipeline open = open_pipeline(tiny_spec(fmt::format("batch: {}", batch)),
                                            {.backend = "reference"}, datasets());
    CompilePipelineOptions smaller{.backend = "reference"};
    smaller.build.train_batch = 40 % batch;
    std::optional<OpenPipeline> rest;
    if (40 % batch != 0) {
      rest = open_pipeline(tiny_spec(fmt::format("batch: {}", batch)), smaller, datasets());
    }
    Batches batches({.full = open.compiled.train,
                     .rest = rest ? &rest->compiled.train : nullptr,
                     .data = open.train,
                     .backend = load_backend("reference"),
                     .seed = 7,
                     .side = "train"});
    batches.prepare(1);
    std::pair<std::vector<float>, std::vector<int32_t>> out;
    const int64_t steps = (40 + batch - 1) / batch;
    batches.start(epoch, steps);
    for (int64_t step = 0; step < steps; ++step) {
      const Batch made = batches.next();
      CHECK(made.images.type == TensorType{DType::f32, {made.size, 3, 32, 32}});
      const auto* images = made.images.as<float>();
      out.first.insert(out.first.end(), images, images + made.images.type.elements());
      out.second.insert(out.second.end(), made.label.as<int32_t>(),
                        made.label.as<int32_t>() + made.size);
    }
    return out;
  };
  const auto whole = epoch_of(40, 1);
  CHECK(whole == epoch_of(16, 1));
  CHECK(whole == epoch_of(8, 1));
  CHECK(whole != epoch_of(40, 2));
  std::vector<int32_t> labels = whole.second;
  const auto data = open_pipeline(tiny_spec(), {.backend = "reference"}, datasets()).train;
  std::vector<int32_t> expected(data->labels.begin(), data->labels.end());
  CHECK(labels != expected);
  std::sort(labels.begin(), labels.end());
  std::sort(expected.begin(), expected.end());
  CHECK(labels == expected);
}

TEST_CASE("the same seed twice gives the same bits, another seed others") {
  for (const std::string backend : {"reference", "onednn"}) {
    CAPTURE(backend);
    const TestFolder a, b, c;
    const FlatSpec spec = tiny_spec();
    const RunRecord first = train(spec, a.path, {}, backend);
    const RunRecord second = train(spec, b.path, {}, backend);
    CHECK(first.history.size() == 3);
    CHECK(metrics_of(first) == metrics_of(second));
    CHECK(hash_of_states(a.path, 3) == hash_of_states(b.path, 3));
    const RunRecord other = train(spec, c.path, {.seed = 1, .observer = {}}, backend);
    CHECK(metrics_of(first) != metrics_of(other));
    CHECK(hash_of_states(a.path, 3) != hash_of_states(c.path, 3));
  }
}

TEST_CASE("stopped before any step and started again is never stopped, to the bit") {
  for (const std::string backend : {"reference", "onednn"}) {
    CAPTURE(backend);
    const TestFolder never;
    const FlatSpec spec = tiny_spec("epochs: 2.5");
    const RunRecord expected = train(spec, never.path, {}, backend);
    CHECK(expected.steps == 8);  // 3 + 3 + 2: half of an epoch is rounded up to whole steps
    for (int64_t stop_at = 0; stop_at < expected.steps; ++stop_at) {
      const TestFolder stopped;
      std::atomic<bool> stop = stop_at == 0;
      RunOptions options{.stop = &stop, .observer = {}};
      options.observer.step = [&](const StepReport& report) { stop = report.step >= stop_at; };
      const std::string message =
          message_of([&] { train(spec, stopped.path, options, backend); }, ExitCode::interrupted);
      CHECK(message.starts_with("interrupted: "));
      const RunRecord record = train(spec, stopped.path, {}, backend);
      CHECK(metrics_of(record) == metrics_of(expected));
      CHECK(hash_of_states(stopped.path, 3) == hash_of_states(never.path, 3));
      CHECK(record.history.back().seconds == doctest::Approx(record.clocks.training()));
    }
  }
}

TEST_CASE("a run that is done is not trained again") {
  const TestFolder folder;
  const FlatSpec spec = tiny_spec("epochs: 1");
  const RunRecord first = train(spec, folder.path);
  int steps = 0;
  RunOptions options;
  options.observer.step = [&](const StepReport&) { ++steps; };
  CHECK(train(spec, folder.path, options).history == first.history);
  CHECK(steps == 0);
}

TEST_CASE("metrics are per sample, whatever the batch size of the test") {
  const TestFolder a, b;
  const RunRecord whole = train(tiny_spec("epochs: 1, test_batch: 24"), a.path);
  const RunRecord parts = train(tiny_spec("epochs: 1, test_batch: 7"), b.path);
  const auto& one = whole.history.front().metrics;
  const auto& other = parts.history.front().metrics;
  REQUIRE(whole.metrics[2].name == "test/loss");
  CHECK(one[2] == doctest::Approx(other[2]).epsilon(1e-5));
  REQUIRE(whole.metrics[3] == MetricInfo{"test/accuracy", true});
  CHECK(one[3] == other[3]);
  CHECK(std::abs(one[3] * 24 - std::round(one[3] * 24)) < 1e-9);
}

TEST_CASE("the learning rate of an epoch's end and the clocks are recorded") {
  const TestFolder folder;
  const RunRecord record = train(tiny_spec("drop_last: true"), folder.path);
  CHECK(record.steps == 6);
  CHECK(record.history[0].learning_rate == doctest::Approx(0.1));
  CHECK(record.history[1].learning_rate == doctest::Approx(0.05));
  CHECK(record.history[2].learning_rate == doctest::Approx(0.0));
  CHECK(record.clocks.preprocessing > 0);
  CHECK(record.clocks.steps > 0);
  CHECK(record.clocks.validation > 0);
  CHECK(record.clocks.checkpoints > 0);
  CHECK(record.clocks.compilation > 0);
  CHECK(record.history.back().seconds == record.clocks.preprocessing + record.clocks.steps);
}

TEST_CASE("a run that diverges names the first bad node, its op, epoch and step") {
  const TestFolder folder;
  const std::string message = message_of(
      [&] { train(tiny_spec("epochs: 4, peak_lr: 1e20"), folder.path); }, ExitCode::run_failed);
  CHECK(message ==
        "the run has diverged: 'train/net/linear' (linear) gives NaN or Inf at epoch 1, step 3 of "
        "3");
  const std::string without_checkpoints =
      message_of([&] { train(tiny_spec("epochs: 4, peak_lr: 1e20"), ""); }, ExitCode::run_failed);
  CHECK(message == without_checkpoints);
}

TEST_CASE("a state that an update made infinite is named with the update") {
  const TestFolder folder;
  // One step an epoch: the first has a learning rate of 0, the second one beyond any float.
  const std::string message = message_of(
      [&] { train(tiny_spec("batch: 40, peak_lr: 1e39"), folder.path); }, ExitCode::run_failed);
  CHECK(message ==
        "the run has diverged: state 'train/net/bn/bias' holds NaN or Inf before epoch 3, written "
        "by 'train/update/train/net/bn/bias' (sgd_update)");
}
