// Data sets: what is known of them, shapes10's promise, decoding, archives, the cache file.
#include <archive.h>
#include <archive_entry.h>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <spng.h>
#include <turbojpeg.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <set>

#include "core/data/archive.h"
#include "core/data/cache_file.h"
#include "core/data/dataset.h"
#include "core/data/decode.h"
#include "core/data/prefetch.h"
#include "core/support/fs.h"
#include "core/support/philox.h"
#include "tests/support/temporary_folder.h"

using namespace expgraph;
namespace fs = std::filesystem;

namespace {

constexpr size_t kSide = 32;
constexpr size_t kImageBytes = kSide * kSide * 3;

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.render();
  }
  return "";
}

Attributes with(std::string name, int64_t value) {
  Attributes attributes;
  attributes.set(std::move(name), value);
  return attributes;
}

std::shared_ptr<const Dataset> shapes(const std::string& split, int64_t count, int64_t seed = 0,
                                      int threads = 2) {
  Attributes attributes = with("count", count);
  attributes.set("seed", seed);
  DataOptions options;
  options.threads = threads;
  return open_dataset("shapes10", split, attributes, options);
}

std::vector<uint8_t> some_image(size_t side = kSide) {
  std::vector<uint8_t> rgb(side * side * 3);
  for (size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<uint8_t>(i / 12);
  return rgb;
}

std::string jpeg_of(const std::vector<uint8_t>& rgb, int side = kSide) {
  const tjhandle encoder = tjInitCompress();
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  REQUIRE(tjCompress2(encoder, rgb.data(), side, 0, side, TJPF_RGB, &bytes, &size, TJSAMP_444, 95,
                      0) == 0);
  std::string encoded(reinterpret_cast<char*>(bytes), size);
  tjFree(bytes);
  tjDestroy(encoder);
  return encoded;
}

std::string png_of(const std::vector<uint8_t>& rgb, uint32_t side = kSide) {
  spng_ctx* encoder = spng_ctx_new(SPNG_CTX_ENCODER);
  spng_set_option(encoder, SPNG_ENCODE_TO_BUFFER, 1);
  spng_ihdr header{side, side, 8, SPNG_COLOR_TYPE_TRUECOLOR, 0, 0, 0};
  spng_set_ihdr(encoder, &header);
  REQUIRE(spng_encode_image(encoder, rgb.data(), rgb.size(), SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE) ==
          0);
  int error = 0;
  size_t size = 0;
  void* bytes = spng_get_png_buffer(encoder, &size, &error);
  std::string encoded(static_cast<char*>(bytes), size);
  std::free(bytes);
  spng_ctx_free(encoder);
  return encoded;
}

enum class Packing { tgz, zip };

void pack(const fs::path& to, const std::vector<PackedFile>& files, Packing packing) {
  ::archive* writer = archive_write_new();
  if (packing == Packing::tgz) {
    archive_write_add_filter_gzip(writer);
    archive_write_set_format_pax_restricted(writer);
  } else {
    archive_write_set_format_zip(writer);
  }
  REQUIRE(archive_write_open_filename(writer, to.c_str()) == ARCHIVE_OK);
  for (const PackedFile& file : files) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, file.path.c_str());
    const bool link = file.content.starts_with("-> ");
    archive_entry_set_filetype(entry, link ? AE_IFLNK : AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    if (link) {
      archive_entry_set_symlink(entry, file.content.c_str() + 3);
    } else {
      archive_entry_set_size(entry, static_cast<la_int64_t>(file.content.size()));
    }
    REQUIRE(archive_write_header(writer, entry) == ARCHIVE_OK);
    if (!link) archive_write_data(writer, file.content.data(), file.content.size());
    archive_entry_free(entry);
  }
  REQUIRE(archive_write_close(writer) == ARCHIVE_OK);
  archive_write_free(writer);
}

std::string cifar_error(const fs::path& place, const fs::path& cache) {
  DataOptions options;
  options.path = place.string();
  options.cache = cache.string();
  return error_of([&] { open_dataset("cifar10", "train", {}, options); });
}

}  // namespace

TEST_CASE("sizes are known without reading") {
  const DatasetInfo cifar = dataset_info("cifar10", "test", {}, {});
  CHECK(cifar.count == 10000);
  CHECK(cifar.height == 32);
  CHECK(cifar.classes == 10);
  CHECK(dataset_info("shapes10", "train", {}, {}).count == 10000);
  CHECK(dataset_info("shapes10", "test", {}, {}).count == 2000);
  CHECK(dataset_info("shapes10", "test", {}, with("count", 77)).count == 77);
  CHECK(dataset_names() == std::vector<std::string>{"cifar10", "shapes10"});
}

TEST_CASE("what no data set has is an error") {
  const auto error = [](const std::string& name, const std::string& split,
                        const Attributes& attributes) {
    return error_of([&] { dataset_info(name, split, {}, attributes); });
  };
  CHECK(error("shapes01", "train", {}) ==
        "error: unknown data set 'shapes01', expected one of: cifar10, shapes10\n"
        "note: did you mean 'shapes10'?\n");
  CHECK(error("cifar10", "val", {}) == "error: unknown split 'val', expected train or test\n");
  CHECK(error("cifar10", "test", with("count", 10001)) ==
        "error: count is 10001, but cifar10 has 10000 test images at most\n");
  CHECK(error("cifar10", "test", with("seed", 1)) ==
        "error: seed is 1, but cifar10 is not generated: expected 0\n");
  CHECK(error("shapes10", "test", with("count", -1)) ==
        "error: count is -1, expected at least 0\n");
  CHECK(error("shapes10", "test", with("seed", -2)) == "error: seed is -2, expected at least 0\n");
}

TEST_CASE("shapes10 depends on seed, split and index alone") {
  const auto few = shapes("train", 20, 0, 1), many = shapes("train", 3000, 0, 3);
  CHECK(std::equal(few->images.begin(), few->images.end(), many->images.begin()));
  const auto differs = [&](const Dataset& other) {
    int different = 0;
    for (size_t i = 0; i < 20; ++i) {
      const auto image = few->images.subspan(i * kImageBytes, kImageBytes);
      different += !std::equal(image.begin(), image.end(), other.images.begin() + i * kImageBytes);
    }
    return different;
  };
  CHECK(differs(*shapes("train", 20, 1)) == 20);
  CHECK(differs(*shapes("test", 20)) == 20);
  std::vector<int> seen(10);
  for (const int32_t label : many->labels) ++seen[static_cast<size_t>(label)];
  CHECK(seen == std::vector<int>(10, 300));
  CHECK(std::set<std::string>(few->classes.begin(), few->classes.end()).size() == 10);
  CHECK(few->identity != many->identity);
}

TEST_CASE("colours of pixels say next to nothing about the class of shapes10") {
  // Nearest class mean over 12 statistics of pixels (mean, spread, skewness and kurtosis of each
  // channel), each scaled to spread one; guessing gets 10 %.
  constexpr size_t features = 12;
  const auto describe = [](const Dataset& data, size_t i) {
    std::array<double, features> found{};
    for (size_t c = 0; c < 3; ++c) {
      std::array<double, 5> moment{};
      for (size_t p = 0; p < kSide * kSide; ++p) {
        const double value = data.images[i * kImageBytes + 3 * p + c];
        for (size_t k = 1; k < 5; ++k) moment[k] += std::pow(value - 127, k) / (kSide * kSide);
      }
      const double mean = moment[1], variance = moment[2] - mean * mean;
      found[4 * c] = mean;
      found[4 * c + 1] = std::sqrt(variance);
      found[4 * c + 2] =
          (moment[3] - 3 * mean * moment[2] + 2 * std::pow(mean, 3)) / std::pow(variance, 1.5);
      found[4 * c + 3] =
          (moment[4] - 4 * mean * moment[3] + 6 * mean * mean * moment[2] - 3 * std::pow(mean, 4)) /
          (variance * variance);
    }
    return found;
  };
  const auto train = shapes("train", 4000), test = shapes("test", 2000);
  std::array<std::array<double, features>, 10> means{};
  std::array<double, features> sum{}, squares{};
  for (size_t i = 0; i < 4000; ++i) {
    const auto found = describe(*train, i);
    for (size_t f = 0; f < features; ++f) {
      means[static_cast<size_t>(train->labels[i])][f] += found[f] / 400;
      sum[f] += found[f] / 4000;
      squares[f] += found[f] * found[f] / 4000;
    }
  }
  int correct = 0;
  for (size_t i = 0; i < 2000; ++i) {
    const auto found = describe(*test, i);
    size_t best = 0;
    double nearest = 1e30;
    for (size_t label = 0; label < 10; ++label) {
      double distance = 0;
      for (size_t f = 0; f < features; ++f) {
        distance += std::pow(found[f] - means[label][f], 2) / (squares[f] - sum[f] * sum[f]);
      }
      if (distance < nearest) {
        nearest = distance;
        best = label;
      }
    }
    correct += static_cast<int32_t>(best) == test->labels[i];
  }
  MESSAGE("nearest mean: ", correct / 20.0, " % of 2,000");
  CHECK(correct < 300);
}

TEST_CASE("images come back from JPEG and PNG, and only in the expected size") {
  const std::vector<uint8_t> rgb = some_image();
  std::vector<uint8_t> decoded(rgb.size());
  decode_image(png_of(rgb), kSide, kSide, decoded);
  CHECK(decoded == rgb);
  decode_image(jpeg_of(rgb), kSide, kSide, decoded);
  for (size_t i = 0; i < rgb.size(); ++i) REQUIRE(std::abs(decoded[i] - rgb[i]) <= 16);
  const auto error = [&](const std::string& bytes) {
    return error_of([&] { decode_image(bytes, kSide, kSide, decoded); });
  };
  const std::vector<uint8_t> large = some_image(64);
  CHECK(error(jpeg_of(large, 64)) == "error: image is 64x64, expected 32x32\n");
  CHECK(error(png_of(large, 64)) == "error: image is 64x64, expected 32x32\n");
  CHECK(error("GIF89a") == "error: neither a JPEG nor a PNG image\n");
  const std::string jpeg = jpeg_of(rgb), png = png_of(rgb);
  CHECK(error(jpeg.substr(0, 30)) == "error: damaged header of a JPEG image\n");
  CHECK(error(png.substr(0, 20)).starts_with("error: damaged header of a PNG image: "));
  CHECK(error(jpeg.substr(0, jpeg.size() - 20)).starts_with("error: damaged JPEG image: "));
  CHECK(error(png.substr(0, png.size() / 2)).starts_with("error: damaged PNG image: "));
}

TEST_CASE("damaged images end in an image or an error, never worse") {
  const std::vector<uint8_t> rgb = some_image();
  std::vector<uint8_t> decoded(rgb.size());
  PhiloxStream random({3, 4}, 0);
  int errors = 0;
  for (const std::string& whole : {jpeg_of(rgb), png_of(rgb)}) {
    for (int n = 0; n < 1000; ++n) {
      std::string bytes = whole;
      for (int k = 0; k < 3; ++k) {
        bytes[random.below(static_cast<uint32_t>(bytes.size()))] = static_cast<char>(random.next());
      }
      errors += !error_of([&] { decode_image(bytes, kSide, kSide, decoded); }).empty();
    }
  }
  CHECK(errors > 500);
}

TEST_CASE("archives and folders are read whole, within limits, links passed over") {
  const TemporaryFolder folder;
  const std::vector<PackedFile> files{{"a/one", "first"},
                                      {"a/link", "-> /etc/passwd"},
                                      {"../../two", std::string(100'000, 'x')},
                                      {"/abs/three", ""}};
  for (const Packing packing : {Packing::tgz, Packing::zip}) {
    const fs::path archive = folder.path / "packed";
    pack(archive, files, packing);
    const auto read = read_archive(archive, {}, {});
    REQUIRE(read.size() == 3);
    CHECK(read[0].path == "a/one");
    CHECK(read[0].content == "first");
    CHECK(read[1].path == "../../two");
    CHECK(read[1].content == files[2].content);
    const auto error = [&](const ArchiveLimits& limits) {
      return error_of([&] { read_archive(archive, limits, {}); });
    };
    const std::string start = fmt::format("error: cannot read '{}': ", archive.string());
    CHECK(error({.files = 2}) == start + "more than 2 files\n");
    CHECK(error({.file_bytes = 99'999}) == start + "'../../two' has more than 99999 bytes\n");
    CHECK(error({.total_bytes = 100'004}) == start + "more than 100004 bytes in all\n");
    fs::resize_file(archive, fs::file_size(archive) / 2);
    CHECK(error({}).starts_with(start));
  }
  fs::create_directories(folder.path / "plain" / "a");
  std::ofstream(folder.path / "plain" / "a" / "one") << "first";
  fs::create_symlink("/etc/passwd", folder.path / "plain" / "link");
  const auto read = read_folder(folder.path / "plain", {}, {});
  REQUIRE(read.size() == 1);
  CHECK(read[0].path == "a/one");
  CHECK(read[0].content == "first");
}

TEST_CASE("bytes that are no archive are an error") {
  const TemporaryFolder folder;
  PhiloxStream random({1, 2}, 0);
  for (int n = 0; n < 50; ++n) {
    std::string bytes(2000, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random.next());
    std::ofstream(folder.path / "random", std::ios::binary) << bytes;
    CHECK(error_of([&] { read_archive(folder.path / "random", {}, {}); }) != "");
  }
}

TEST_CASE("a cache file comes back as it was written; one damaged anywhere is seen") {
  const TemporaryFolder folder;
  const fs::path file = folder.path / "made" / "cache.images";
  CHECK(map_cache(file, 2) == nullptr);
  DecodedImages decoded;
  decoded.described = "CIFAR-10 (PNG)";
  decoded.classes = {"cat", "dog"};
  decoded.height = 3;
  decoded.width = 5;
  decoded.labels = {1, 0, 1};
  for (uint8_t i = 0; i < 3 * 3 * 5 * 3; ++i) decoded.images.push_back(i);
  write_cache(file, decoded);
  const auto mapped = map_cache(file, 2);
  REQUIRE(mapped != nullptr);
  CHECK(mapped->described == decoded.described);
  CHECK(mapped->classes == decoded.classes);
  CHECK(mapped->info.count == 3);
  CHECK(mapped->info.width == 5);
  CHECK(std::equal(decoded.labels.begin(), decoded.labels.end(), mapped->labels.begin(),
                   mapped->labels.end()));
  CHECK(std::equal(decoded.images.begin(), decoded.images.end(), mapped->images.begin(),
                   mapped->images.end()));
  const std::string whole = system_fs().read(file, 10'000);
  size_t unseen = 0;
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string bytes = whole;
    bytes[i] = static_cast<char>(bytes[i] ^ 0x10);
    std::ofstream(file, std::ios::binary) << bytes;
    unseen += map_cache(file, 2) != nullptr;
  }
  CHECK(unseen == 0);
  for (size_t size = 0; size < whole.size(); size += 7) {
    std::ofstream(file, std::ios::binary) << whole.substr(0, size);
    CHECK(map_cache(file, 2) == nullptr);
  }
}

TEST_CASE("data that is missing or incomplete is told with the ways to get it") {
  const TemporaryFolder folder;
  const std::string ways =
      "note: say where it lies: --data PATH or EXPGRAPH_DATA=PATH, with cifar-10-binary.tar.gz, "
      "its folder cifar-10-batches-bin, or an image folder cifar10/{train,test}/<class>/, plain "
      "or as .tgz or .zip\n"
      "note: or let it be fetched (170 MB): --download takes it from "
      "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz\n";
  CHECK(cifar_error("", folder.path) == "error: data set cifar10 is not on this machine\n" + ways);
  const std::string there = folder.path.string();
  CHECK(cifar_error(there + "/no", folder.path) ==
        fmt::format("error: there is no file or folder '{}/no'\n", there) + ways);
  CHECK(cifar_error(there, folder.path) ==
        fmt::format("error: there is no cifar10 in '{}'\n", there) + ways);
  const fs::path archive = folder.path / "some.tgz";
  const std::string png = png_of(some_image());
  pack(archive, {{"cifar10/train/cat/0.png", png}, {"cifar10/train/dog/0.png", png}}, Packing::tgz);
  CHECK(cifar_error(archive, folder.path) ==
        fmt::format("error: '{}' has 2 train images, expected 50000\n", archive.string()));
  pack(archive, {{"cifar10/train/cats/0.png", png}}, Packing::tgz);
  CHECK(
      cifar_error(archive, folder.path) ==
      "error: 'cifar10/train/cats/0.png' lies in no class of CIFAR-10, expected one of: airplane, "
      "automobile, bird, cat, deer, dog, frog, horse, ship, truck\nnote: did you mean 'cat'?\n");
  pack(archive, {{"cifar10/train/cat/0.png", png.substr(0, 60)}}, Packing::tgz);
  CHECK(cifar_error(archive, folder.path)
            .starts_with("error: 'cifar10/train/cat/0.png': damaged PNG image: "));
  pack(archive, {{"data_batch_1.bin", "short"}}, Packing::tgz);
  CHECK(cifar_error(archive, folder.path).find("expected c32a1d4ab5d03f1284b67883e8d87530") !=
        std::string::npos);
  fs::create_directories(folder.path / "cifar-10-batches-bin");
  std::ofstream(folder.path / "cifar-10-batches-bin" / "data_batch_1.bin") << "short";
  CHECK(cifar_error(folder.path, folder.path) ==
        "error: 'data_batch_1.bin' has 5 bytes, expected 30730000\n");
}

TEST_CASE("the prefetcher hands items over in order, with errors, and stops early") {
  const auto fill = [](int64_t item, int64_t& slot) {
    if (item == 40) throw Error("item 40");
    slot = item * item;
  };
  Prefetcher<int64_t> whole(
      40, [] { return int64_t{0}; }, fill);
  for (int64_t item = 0; item < 40; ++item) CHECK(whole.next() == item * item);
  Prefetcher<int64_t> failing(
      100, [] { return int64_t{0}; }, fill);
  for (int64_t item = 0; item < 40; ++item) CHECK(failing.next() == item * item);
  CHECK_THROWS_WITH_AS(failing.next(), "item 40", Error);
  Prefetcher<int64_t> left(
      100, [] { return int64_t{0}; }, fill);
  CHECK(left.next() == 0);
}
