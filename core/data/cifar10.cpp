// cifar10: the official binary archive, or an image folder, plain or packed -> one cache file a
// split, mapped. Krizhevsky: "Learning multiple layers of features from tiny images", 2009.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <mutex>

#include "core/data/archive.h"
#include "core/data/cache_file.h"
#include "core/data/decode.h"
#include "core/data/download.h"
#include "core/data/parallel.h"
#include "core/data/source.h"
#include "core/support/fs.h"
#include "core/support/hash.h"
#include "core/support/suggest.h"

namespace expgraph {
namespace {

namespace fs = std::filesystem;

constexpr const char* kUrl = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz";
constexpr const char* kMd5 = "c32a1d4ab5d03f1284b67883e8d87530";
constexpr const char* kArchiveName = "cifar-10-binary.tar.gz";
constexpr int64_t kMostArchiveBytes = 200'000'000;
constexpr int kCacheVersion = 1;

constexpr int64_t kSide = 32;
constexpr size_t kPixels = kSide * kSide;
constexpr size_t kImageBytes = 3 * kPixels;
constexpr size_t kRecordBytes = 1 + kImageBytes;
constexpr size_t kBatchRecords = 10000;

/// Alphabetical, which is the order of CIFAR's labels.
const std::vector<std::string> kClasses{"airplane", "automobile", "bird",  "cat",  "deer",
                                        "dog",      "frog",       "horse", "ship", "truck"};

using Files = std::vector<PackedFile>;
using Splits = std::map<std::string, DecodedImages>;

[[noreturn]] void fail(std::string message) {
  throw Error(std::move(message), {}, ExitCode::environment);
}

/// Calls the user's progress from several threads, one at a time.
class Progress {
 public:
  Progress(const DataOptions& options, std::string what, size_t all)
      : report_(options.progress), what_(std::move(what)), all_(all) {}

  void add(size_t done) {
    if (!report_) return;
    const std::lock_guard lock(mutex_);
    done_ += done;
    report_(what_, static_cast<double>(done_) / static_cast<double>(all_));
  }

 private:
  const std::function<void(std::string_view, double)>& report_;
  std::string what_;
  std::mutex mutex_;
  size_t done_ = 0, all_;
};

DecodedImages empty_split(size_t count, std::string described) {
  DecodedImages split;
  split.described = std::move(described);
  split.classes = kClasses;
  split.height = split.width = kSide;
  split.images.resize(count * kImageBytes);
  split.labels.resize(count);
  return split;
}

/// Records of a batch file: a label, then the red, green and blue planes.
void read_records(const PackedFile& file, DecodedImages& split, size_t first) {
  if (file.content.size() != kBatchRecords * kRecordBytes) {
    fail(fmt::format("'{}' has {} bytes, expected {}", file.path, file.content.size(),
                     kBatchRecords * kRecordBytes));
  }
  const auto* record = reinterpret_cast<const uint8_t*>(file.content.data());
  for (size_t i = first; i < first + kBatchRecords; ++i, record += kRecordBytes) {
    if (record[0] >= kClasses.size()) {
      fail(fmt::format("'{}' has label {}, expected 0 to 9", file.path, record[0]));
    }
    split.labels[i] = record[0];
    uint8_t* image = split.images.data() + i * kImageBytes;
    for (size_t p = 0; p < kPixels; ++p) {
      for (size_t c = 0; c < 3; ++c) image[3 * p + c] = record[1 + c * kPixels + p];
    }
  }
}

const PackedFile* find_file(const Files& files, std::string_view name) {
  for (const PackedFile& file : files) {
    if (fs::path(file.path).filename() == name) return &file;
  }
  return nullptr;
}

bool is_binary(const Files& files) { return find_file(files, "data_batch_1.bin") != nullptr; }

Splits read_binary(const Files& files) {
  const std::string described = "CIFAR-10";
  Splits splits;
  splits["train"] = empty_split(5 * kBatchRecords, described);
  splits["test"] = empty_split(kBatchRecords, described);
  const auto read = [&](const std::string& name, const std::string& split, size_t first) {
    const PackedFile* file = find_file(files, name);
    if (file == nullptr) fail(fmt::format("there is no '{}' beside 'data_batch_1.bin'", name));
    read_records(*file, splits[split], first);
  };
  for (size_t k = 0; k < 5; ++k) {
    read(fmt::format("data_batch_{}.bin", k + 1), "train", k * kBatchRecords);
  }
  read("test_batch.bin", "test", 0);
  return splits;
}

struct ImageFile {
  const PackedFile* file;
  int32_t label;
};

int32_t label_of(const std::string& class_name, const std::string& path) {
  const auto found = std::find(kClasses.begin(), kClasses.end(), class_name);
  if (found != kClasses.end()) return static_cast<int32_t>(found - kClasses.begin());
  Error error(fmt::format("'{}' lies in no class of CIFAR-10, expected one of: {}", path,
                          fmt::join(kClasses, ", ")),
              {}, ExitCode::environment);
  if (const std::string hint = did_you_mean(class_name, kClasses); !hint.empty()) error.note(hint);
  throw error;
}

/// Image files by split, from paths that end in <split>/<class>/<file>. The first of each class
/// come first, then the second of each, so that any part from the start is balanced.
std::map<std::string, std::vector<ImageFile>> sort_images(const Files& files) {
  std::map<std::string, std::array<std::vector<const PackedFile*>, 10>> found;
  for (const PackedFile& file : files) {
    if (image_format(file.content) == ImageFormat::none) continue;
    const fs::path folder = fs::path(file.path).parent_path();
    const std::string split = folder.parent_path().filename().string();
    if (split != "train" && split != "test") continue;
    const int32_t label = label_of(folder.filename().string(), file.path);
    found[split][static_cast<size_t>(label)].push_back(&file);
  }
  std::map<std::string, std::vector<ImageFile>> sorted;
  for (auto& [split, classes] : found) {
    size_t most = 0;
    for (auto& images : classes) {
      std::sort(images.begin(), images.end(),
                [](const auto* a, const auto* b) { return a->path < b->path; });
      most = std::max(most, images.size());
    }
    for (size_t i = 0; i < most; ++i) {
      for (size_t label = 0; label < classes.size(); ++label) {
        if (i < classes[label].size()) {
          sorted[split].push_back({classes[label][i], static_cast<int32_t>(label)});
        }
      }
    }
  }
  return sorted;
}

std::string formats_of(const std::vector<ImageFile>& images) {
  bool jpeg = false, png = false;
  for (const ImageFile& image : images) {
    (image_format(image.file->content) == ImageFormat::jpeg ? jpeg : png) = true;
  }
  return jpeg && png ? "JPEG and PNG" : jpeg ? "JPEG" : "PNG";
}

Splits read_images(const Files& files, const DataOptions& options) {
  Splits splits;
  for (const auto& [name, images] : sort_images(files)) {
    DecodedImages split =
        empty_split(images.size(), fmt::format("CIFAR-10 ({})", formats_of(images)));
    Progress progress(options, fmt::format("decoding {} images", name), images.size());
    parallel_for(static_cast<int64_t>(images.size()), 256, options.threads,
                 [&](int64_t begin, int64_t end) {
                   for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
                     const PackedFile& file = *images[i].file;
                     split.labels[i] = images[i].label;
                     try {
                       decode_image(file.content, kSide, kSide,
                                    std::span(split.images).subspan(i * kImageBytes, kImageBytes));
                     } catch (const Error& error) {
                       fail(fmt::format("'{}': {}", file.path, error.what()));
                     }
                   }
                   progress.add(static_cast<size_t>(end - begin));
                 });
    splits[name] = std::move(split);
  }
  return splits;
}

fs::path cache_folder(const DataOptions& options) {
  return options.cache.empty() ? user_cache_folder() : fs::path(options.cache);
}

Error& with_ways(Error& error) {
  return error
      .note(fmt::format("say where it lies: --data PATH or EXPGRAPH_DATA=PATH, with {}, its folder "
                        "cifar-10-batches-bin, or an image folder cifar10/{{train,test}}/<class>/, "
                        "plain or as .tgz or .zip",
                        kArchiveName))
      .note(fmt::format("or let it be fetched (170 MB): --download takes it from {}", kUrl));
}

/// The file or folder that holds the data: the given one, or one of the usual names in it.
fs::path locate(const DataOptions& options) {
  const fs::path given = options.path;
  if (given.empty()) {
    const fs::path fetched = cache_folder(options) / kArchiveName;
    if (!fs::exists(fetched)) {
      if (!options.download) {
        Error error("data set cifar10 is not on this machine", {}, ExitCode::environment);
        throw with_ways(error);
      }
      download({kUrl, kMd5, kMostArchiveBytes}, fetched, [&](double fraction) {
        if (options.progress) options.progress(fmt::format("fetching {}", kArchiveName), fraction);
      });
    }
    return fetched;
  }
  if (fs::is_regular_file(given)) return given;
  if (fs::exists(given / "data_batch_1.bin") || fs::is_directory(given / "train")) return given;
  for (const char* name : {kArchiveName, "cifar-10-batches-bin", "cifar10", "cifar10.tgz",
                           "cifar10.tar.gz", "cifar10.zip"}) {
    if (fs::exists(given / name)) return given / name;
  }
  Error error(fs::exists(given) ? fmt::format("there is no cifar10 in '{}'", options.path)
                                : fmt::format("there is no file or folder '{}'", options.path),
              {}, ExitCode::environment);
  throw with_ways(error);
}

/// Names the bytes of the source: of a folder, its paths, sizes and times.
std::string source_key(const fs::path& place) {
  Digest digest;
  digest.add(fmt::format("cifar10 {}\n", kCacheVersion));
  if (!fs::is_directory(place)) {
    digest.add(file_hash(place));
    return digest.hex();
  }
  std::vector<std::string> lines;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(place)) {
    if (entry.is_symlink() || !entry.is_regular_file()) continue;
    lines.push_back(fmt::format("{} {} {}\n", entry.path().lexically_relative(place).string(),
                                entry.file_size(),
                                entry.last_write_time().time_since_epoch().count()));
  }
  std::sort(lines.begin(), lines.end());
  for (const std::string& line : lines) digest.add(line);
  return digest.hex();
}

/// Decodes all of the source into a cache file for each split.
void fill_cache(const fs::path& place, const DataOptions& options,
                const std::function<fs::path(const std::string&)>& cache_file) {
  const std::function<void(double)> reading = [&](double fraction) {
    const std::string what = fmt::format("reading {}", place.filename().string());
    if (options.progress) options.progress(what, fraction);
  };
  const ArchiveLimits limits;
  const bool folder = fs::is_directory(place);
  const Files files =
      folder ? read_folder(place, limits, reading) : read_archive(place, limits, reading);
  if (is_binary(files) && !folder) {
    if (const std::string got = file_hash(place, Digest::Kind::md5); got != kMd5) {
      fail(fmt::format("'{}' has MD5 {}, expected {}", place.string(), got, kMd5));
    }
  }
  const Splits splits = is_binary(files) ? read_binary(files) : read_images(files, options);
  for (const auto& [split, decoded] : splits) write_cache(cache_file(split), decoded);
}

std::shared_ptr<const Dataset> open_source(const DataRequest& request) {
  const DataOptions& options = request.options;
  const fs::path place = locate(options);
  const std::string key = source_key(place);
  const auto cache_file = [&](const std::string& split) {
    return cache_folder(options) / fmt::format("cifar10-{}-{}.images", key.substr(0, 16), split);
  };
  const DatasetInfo& wanted = request.info;
  std::shared_ptr<Dataset> dataset = map_cache(cache_file(wanted.split), options.threads);
  if (dataset == nullptr) {
    fill_cache(place, options, cache_file);
    dataset = map_cache(cache_file(wanted.split), options.threads);
  }
  const int64_t all = wanted.split == "train" ? 50000 : 10000;
  const int64_t count = dataset == nullptr ? 0 : dataset->info.count;
  if (count != all) {
    fail(fmt::format("'{}' has {} {} images, expected {}", place.string(), count, wanted.split,
                     all));
  }
  dataset->described += fmt::format(", {}", place.filename().string());
  dataset->images = dataset->images.first(static_cast<size_t>(wanted.count) * kImageBytes);
  dataset->labels = dataset->labels.first(static_cast<size_t>(wanted.count));
  if (wanted.count != all) dataset->identity += fmt::format(":first={}", wanted.count);
  dataset->info = wanted;
  return dataset;
}

}  // namespace

std::shared_ptr<const Dataset> open_cifar10(const DataRequest& request) {
  try {
    return open_source(request);
  } catch (const fs::filesystem_error& error) {
    fail(fmt::format("cannot read '{}': {}", error.path1().string(), error.code().message()));
  }
}

}  // namespace expgraph
