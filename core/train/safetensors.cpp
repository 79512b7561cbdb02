// safetensors: named tensors <-> bytes of the safetensors format.
#include "core/train/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>

namespace expgraph {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr size_t kLengthBytes = 8;
constexpr uint64_t kMaxHeader = uint64_t{16} << 20;
constexpr size_t kMaxRank = 16;

struct TypeName {
  DType dtype;
  std::string_view name;
};
constexpr std::array<TypeName, 6> kTypes = {{{DType::f32, "F32"},
                                             {DType::f64, "F64"},
                                             {DType::bf16, "BF16"},
                                             {DType::f16, "F16"},
                                             {DType::i32, "I32"},
                                             {DType::u8, "U8"}}};

std::string_view type_name(DType dtype) {
  return std::find_if(kTypes.begin(), kTypes.end(),
                      [&](const TypeName& type) { return type.dtype == dtype; })
      ->name;
}

/// Reads one header; every failure is an Error that names the source.
class Parser {
 public:
  Parser(std::span<std::byte> bytes, std::string_view source) : bytes_(bytes), source_(source) {}

  std::vector<NamedTensor> parse() {
    const std::string_view header = read_header();
    const auto json = nlohmann::json::parse(header, nullptr, false);
    if (!json.is_object()) fail("its header is no JSON object");
    for (const auto& [name, entry] : json.items()) {
      if (name != "__metadata__") read_entry(name, entry);
    }
    std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
      return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    std::vector<NamedTensor> out;
    uint64_t end = 0;
    for (Entry& entry : entries_) {
      if (entry.begin != end) fail("there is a gap or an overlap before '{}'", entry.name);
      end = entry.end;
      out.push_back({std::move(entry.name), {std::move(entry.type), data_.data() + entry.begin}});
    }
    if (end != data_.size()) fail("its tensors take {} bytes of {}", end, data_.size());
    return out;
  }

 private:
  struct Entry {
    std::string name;
    TensorType type;
    uint64_t begin = 0, end = 0;
  };

  template <typename... Values>
  [[noreturn]] void fail(fmt::format_string<Values...> text, Values&&... values) const {
    throw Error(fmt::format("{} is no valid safetensors file: {}", source_,
                            fmt::format(text, std::forward<Values>(values)...)));
  }

  std::string_view read_header() {
    uint64_t length = 0;
    if (bytes_.size() < kLengthBytes) fail("it has {} bytes", bytes_.size());
    std::memcpy(&length, bytes_.data(), kLengthBytes);
    const uint64_t room = bytes_.size() - kLengthBytes;
    if (length > std::min(room, kMaxHeader)) {
      fail("its header has {} bytes, at most {} are possible", length, std::min(room, kMaxHeader));
    }
    data_ = bytes_.subspan(kLengthBytes + length);
    return {reinterpret_cast<const char*>(bytes_.data()) + kLengthBytes, length};
  }

  void read_entry(const std::string& name, const nlohmann::json& json) {
    const auto field = [&](const char* key, size_t items) -> const nlohmann::json& {
      const bool is_list = json.is_object() && json.contains(key) && json[key].is_array();
      if (!is_list || json[key].size() > items) fail("'{}' has no valid '{}'", name, key);
      for (const auto& item : json[key]) {
        if (!item.is_number_unsigned()) fail("'{}' has no valid '{}'", name, key);
      }
      return json[key];
    };
    const auto& shape = field("shape", kMaxRank);
    const auto& offsets = field("data_offsets", 2);
    if (!json.contains("dtype") || !json["dtype"].is_string()) fail("'{}' has no dtype", name);
    const std::string dtype = json["dtype"];
    const auto* type = std::find_if(kTypes.begin(), kTypes.end(),
                                    [&](const TypeName& known) { return known.name == dtype; });
    if (type == kTypes.end()) fail("'{}' has the unknown dtype '{}'", name, dtype);
    if (offsets.size() != 2) fail("'{}' has no valid 'data_offsets'", name);
    Entry entry{.name = name,
                .type = {type->dtype, {}},
                .begin = offsets[0].get<uint64_t>(),
                .end = offsets[1].get<uint64_t>()};
    if (entry.begin > entry.end || entry.end > data_.size()) {
      fail("'{}' lies at {} to {} of {} bytes", name, entry.begin, entry.end, data_.size());
    }
    uint64_t bytes = static_cast<uint64_t>(size_of(type->dtype));
    for (const auto& item : shape) {
      const auto extent = item.get<uint64_t>();
      if (__builtin_mul_overflow(bytes, extent, &bytes) || extent > INT64_MAX) {
        fail("'{}' is larger than any memory", name);
      }
      entry.type.shape.push_back(static_cast<int64_t>(extent));
    }
    if (bytes != entry.end - entry.begin) {
      fail("'{}' is {} of {} bytes, but {} are given", name, entry.type.str(), bytes,
           entry.end - entry.begin);
    }
    entries_.push_back(std::move(entry));
  }

  std::span<std::byte> bytes_;
  std::string_view source_;
  std::span<std::byte> data_;
  std::vector<Entry> entries_;
};

}  // namespace

std::string safetensors_header(std::span<const NamedTensor> tensors) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  int64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    const int64_t end = offset + tensor.type.bytes();
    json[name] = {{"dtype", type_name(tensor.type.dtype)},
                  {"shape", tensor.type.shape},
                  {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = json.dump();
  text.append((64 - (kLengthBytes + text.size()) % 64) % 64, ' ');
  const uint64_t length = text.size();
  std::string out(kLengthBytes, '\0');
  std::memcpy(out.data(), &length, kLengthBytes);
  return out + text;
}

std::vector<NamedTensor> parse_safetensors(std::span<std::byte> bytes, std::string_view source) {
  return Parser(bytes, source).parse();
}

}  // namespace expgraph
