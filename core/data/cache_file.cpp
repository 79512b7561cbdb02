// cache_file: decoded images and labels <-> one file that is mapped into memory.
//
//   Header | description and class names, a line each | padding to 64 | labels i32 | images u8
#include "core/data/cache_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <sstream>

#include "core/data/parallel.h"
#include "core/support/fs.h"
#include "core/support/hash.h"

namespace expgraph {
namespace {

constexpr std::array<char, 8> kMagic{'E', 'X', 'P', 'G', 'D', 'S', '0', '1'};
constexpr uint64_t kMostImages = 1 << 26;
constexpr uint64_t kMostSide = 1 << 14;
constexpr uint64_t kMostText = 1 << 16;
constexpr int64_t kHashChunk = 1 << 20;

struct Header {
  std::array<char, 8> magic = kMagic;
  uint64_t text_bytes = 0, count = 0, height = 0, width = 0, channels = 0;
  std::array<char, 64> digest{};  ///< of all the rest of the file and of the sizes above
};

uint64_t padded(uint64_t bytes) { return (bytes + 63) / 64 * 64; }

uint64_t text_end(const Header& header) { return padded(sizeof(Header) + header.text_bytes); }

uint64_t image_bytes(const Header& header) {
  return header.count * header.height * header.width * header.channels;
}

uint64_t file_bytes(const Header& header) {
  return text_end(header) + header.count * sizeof(int32_t) + image_bytes(header);
}

bool plausible(const Header& header) {
  return header.magic == kMagic && header.text_bytes <= kMostText && header.count <= kMostImages &&
         header.height <= kMostSide && header.width <= kMostSide && header.channels <= 4;
}

/// Digest over the digests of chunks, so that several threads can work on it.
std::string digest_of(const Header& header, std::string_view text, std::string_view labels,
                      std::string_view images, int threads) {
  const auto bytes = static_cast<int64_t>(images.size());
  std::vector<std::string> chunks(static_cast<size_t>((bytes + kHashChunk - 1) / kHashChunk));
  parallel_for(bytes, kHashChunk, threads, [&](int64_t begin, int64_t end) {
    chunks[static_cast<size_t>(begin / kHashChunk)] =
        content_hash(images.substr(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
  });
  Digest digest;
  digest.add(fmt::format("{} {} {} {} {}\n", header.text_bytes, header.count, header.height,
                         header.width, header.channels));
  digest.add(text);
  digest.add(labels);
  for (const std::string& chunk : chunks) digest.add(chunk);
  return digest.hex();
}

template <typename T>
std::string_view bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

/// A whole file, read-only, unmapped at the end; empty when it cannot be mapped.
std::string_view map_file(const std::filesystem::path& path, std::shared_ptr<void>& storage) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (error || size == 0) return {};
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return {};
  void* start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
  ::close(file);
  if (start == MAP_FAILED) return {};
  storage = std::shared_ptr<void>(start, [size](void* mapped) { ::munmap(mapped, size); });
  return {static_cast<const char*>(start), size};
}

}  // namespace

void write_cache(const std::filesystem::path& path, const DecodedImages& decoded) {
  Header header;
  header.count = decoded.labels.size();
  header.height = static_cast<uint64_t>(decoded.height);
  header.width = static_cast<uint64_t>(decoded.width);
  header.channels = static_cast<uint64_t>(decoded.channels);
  EXPGRAPH_CHECK(decoded.images.size() == image_bytes(header));
  std::string text = fmt::format("{}\n{}\n", decoded.described, fmt::join(decoded.classes, "\n"));
  header.text_bytes = text.size();
  text.resize(text_end(header) - sizeof(Header));
  const std::string_view labels = bytes_of(decoded.labels), images = bytes_of(decoded.images);
  const std::string digest = digest_of(header, text, labels, images, 0);
  std::memcpy(header.digest.data(), digest.data(), header.digest.size());

  const std::string_view pieces[] = {
      {reinterpret_cast<const char*>(&header), sizeof(Header)}, text, labels, images};
  Fs& fs = system_fs();
  fs.make_folder(path.parent_path());
  // Two processes may make the same cache at once: each writes its own part.
  const std::filesystem::path part = fmt::format("{}.{}.part", path.string(), ::getpid());
  fs.write(part, pieces);
  fs.rename(part, path);
  fs.sync_folder(path.parent_path());
}

std::shared_ptr<Dataset> map_cache(const std::filesystem::path& path, int threads) {
  auto dataset = std::make_shared<Dataset>();
  const std::string_view file = map_file(path, dataset->storage);
  Header header;
  if (file.size() < sizeof(Header)) return nullptr;
  std::memcpy(&header, file.data(), sizeof(Header));
  if (!plausible(header) || file.size() != file_bytes(header)) return nullptr;
  const std::string_view text = file.substr(sizeof(Header), text_end(header) - sizeof(Header));
  const std::string_view labels = file.substr(text_end(header), header.count * sizeof(int32_t));
  const std::string_view images = file.substr(file.size() - image_bytes(header));
  const std::string digest = digest_of(header, text, labels, images, threads);
  if (digest != std::string_view(header.digest.data(), header.digest.size())) return nullptr;

  std::istringstream lines{std::string(text.substr(0, header.text_bytes))};
  std::getline(lines, dataset->described);
  for (std::string line; std::getline(lines, line);) dataset->classes.push_back(line);
  dataset->info.count = static_cast<int64_t>(header.count);
  dataset->info.height = static_cast<int64_t>(header.height);
  dataset->info.width = static_cast<int64_t>(header.width);
  dataset->info.channels = static_cast<int64_t>(header.channels);
  dataset->info.classes = static_cast<int64_t>(dataset->classes.size());
  dataset->labels = {reinterpret_cast<const int32_t*>(labels.data()), header.count};
  dataset->images = {reinterpret_cast<const uint8_t*>(images.data()), images.size()};
  dataset->identity = "sha256:" + digest;
  return dataset;
}

}  // namespace expgraph
