// cifar10 at its full size: the official binaries, the packed image folder, the cache between
// them and the next use.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>

#include "core/data/dataset.h"
#include "tests/support/temporary_folder.h"

using namespace expgraph;
namespace fs = std::filesystem;

namespace {

constexpr size_t kPixels = 32 * 32;
constexpr size_t kImageBytes = 3 * kPixels;

/// Byte of plane `c` at pixel `p` of record `i` of a batch.
char pixel(size_t batch, size_t i, size_t c, size_t p) {
  return static_cast<char>(31 * batch + i + 5 * c + 3 * p);
}

void write_batch(const fs::path& path, size_t batch) {
  std::string bytes;
  bytes.reserve(10000 * (1 + kImageBytes));
  for (size_t i = 0; i < 10000; ++i) {
    bytes += static_cast<char>((i + batch) % 10);
    for (size_t c = 0; c < 3; ++c) {
      for (size_t p = 0; p < kPixels; ++p) bytes += pixel(batch, i, c, p);
    }
  }
  std::ofstream(path, std::ios::binary) << bytes;
}

std::shared_ptr<const Dataset> open(const fs::path& place, const fs::path& cache,
                                    const std::string& split, std::set<std::string>* work) {
  DataOptions options;
  options.path = place.string();
  options.cache = cache.string();
  options.progress = [work](std::string_view what, double fraction) {
    CHECK(fraction >= 0);
    CHECK(fraction <= 1);
    if (work != nullptr) work->insert(std::string(what));
  };
  return open_dataset("cifar10", split, {}, options);
}

}  // namespace

TEST_CASE("the official binaries are read: labels, and planes turned into pixels") {
  const TemporaryFolder folder;
  const fs::path place = folder.path / "cifar-10-batches-bin";
  fs::create_directories(place);
  for (size_t k = 1; k <= 5; ++k) write_batch(place / fmt::format("data_batch_{}.bin", k), k);
  write_batch(place / "test_batch.bin", 6);
  for (const std::string split : {"train", "test"}) {
    const auto data = open(folder.path, folder.path / "cache", split, nullptr);
    REQUIRE(data->info.count == (split == "train" ? 50000 : 10000));
    CHECK(data->described == "CIFAR-10, cifar-10-batches-bin");
    size_t wrong = 0;
    for (size_t n = 0; n < data->labels.size(); n += 777) {
      const size_t batch = split == "train" ? 1 + n / 10000 : 6, i = n % 10000;
      wrong += data->labels[n] != static_cast<int32_t>((i + batch) % 10);
      for (size_t p = 0; p < kPixels; ++p) {
        for (size_t c = 0; c < 3; ++c) {
          wrong += data->images[n * kImageBytes + 3 * p + c] !=
                   static_cast<uint8_t>(pixel(batch, i, c, p));
        }
      }
    }
    CHECK(wrong == 0);
  }

  const auto error = [&] {
    try {
      open(place, folder.path / "cache", "train", nullptr);
    } catch (const Error& problem) {
      return std::string(problem.what());
    }
    return std::string();
  };
  std::fstream(place / "data_batch_3.bin", std::ios::in | std::ios::out | std::ios::binary) << 'A';
  CHECK(error() == "'data_batch_3.bin' has label 65, expected 0 to 9");
  fs::remove(place / "test_batch.bin");
  write_batch(place / "data_batch_3.bin", 3);
  CHECK(error() == "there is no 'test_batch.bin' beside 'data_batch_1.bin'");
}

TEST_CASE("the packed image folder is decoded once, then mapped; a damaged cache is made again") {
  const fs::path archive = fs::path(EXPGRAPH_SOURCE_DIR) / "../shared/data/cifar10.tgz";
  if (!fs::exists(archive)) {
    MESSAGE("test skipped: there is no ../shared/data/cifar10.tgz");
    return;
  }
  const TemporaryFolder folder;
  std::set<std::string> work;
  const auto train = open(archive, folder.path, "train", &work);
  CHECK(work.count("reading cifar10.tgz") == 1);
  CHECK(work.count("decoding train images") == 1);
  CHECK(train->described == "CIFAR-10 (JPEG), cifar10.tgz");
  CHECK(train->classes.front() == "airplane");
  CHECK(train->classes.back() == "truck");
  std::vector<int> seen(10);
  for (const int32_t label : train->labels.first(1000)) ++seen[static_cast<size_t>(label)];
  CHECK(seen == std::vector<int>(10, 100));
  double mean = 0;
  for (size_t i = 0; i < train->images.size(); i += 3) mean += train->images[i];
  CHECK(std::abs(mean / (50000.0 * kPixels) - 125.3) < 0.5);  // CIFAR-10's mean of red

  work.clear();
  const auto test = open(archive, folder.path, "test", &work);
  const auto again = open(archive, folder.path, "train", &work);
  CHECK(work.empty());
  CHECK(test->info.count == 10000);
  CHECK(again->identity == train->identity);

  for (const auto& entry : fs::directory_iterator(folder.path)) {
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(1'000'000);
    file << "damage";
  }
  const auto repaired = open(archive, folder.path, "train", &work);
  CHECK_FALSE(work.empty());
  CHECK(repaired->identity == train->identity);
}
