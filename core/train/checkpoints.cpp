// checkpoints: the states and the record of a run after an epoch <-> a folder that survives a
// crash.
#include "core/train/checkpoints.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "core/host_store.h"
#include "core/support/hash.h"
#include "core/train/record_json.h"
#include "core/train/safetensors.h"

namespace expgraph {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr const char* kStates = "states.safetensors";
constexpr const char* kManifest = "manifest.json";
constexpr int64_t kManifestLimit = int64_t{64} << 20;
constexpr std::string_view kPrefix = "epoch-";
constexpr int64_t kFormat = 1;

/// Copies of all states, one after the other, and the header that describes them.
class StatesImage {
 public:
  explicit StatesImage(const StateStore& states) {
    std::vector<NamedTensor> tensors;
    int64_t bytes = 0;
    for (const std::string& name : states.names()) {
      tensors.push_back({name, {states.type(name), nullptr}});
      bytes += tensors.back().tensor.type.bytes();
    }
    header_ = safetensors_header(tensors);
    data_ = AlignedBuffer(bytes);
    std::byte* to = data_.data();
    for (NamedTensor& entry : tensors) {
      entry.tensor.data = to;
      states.read(entry.name, entry.tensor);
      to += entry.tensor.type.bytes();
    }
  }

  std::vector<std::string_view> pieces() const {
    return {header_,
            {reinterpret_cast<const char*>(data_.data()), static_cast<size_t>(data_.bytes())}};
  }

 private:
  std::string header_;
  AlignedBuffer data_;
};

ordered_json parse_manifest(const std::string& text, const std::string& source) {
  ordered_json json = ordered_json::parse(text, nullptr, false);
  const bool whole = json.is_object() && json.contains("content") && json.contains("sha256") &&
                     json["sha256"] == content_hash(json["content"].dump());
  if (!whole) throw Error(source + " does not have its checksum");
  const ordered_json& content = json["content"];
  if (content.value("format", int64_t{0}) != kFormat) {
    throw Error(fmt::format("{} is of another format", source));
  }
  return content;
}

void copy_states(std::span<std::byte> bytes, StateStore& states, const std::string& source) {
  const std::vector<NamedTensor> saved = parse_safetensors(bytes, source);
  const std::vector<std::string> names = states.names();
  if (saved.size() != names.size()) {
    throw Error(
        fmt::format("{} holds {} states, the net has {}", source, saved.size(), names.size()));
  }
  for (const NamedTensor& entry : saved) {
    if (!states.has(entry.name) || !(states.type(entry.name) == entry.tensor.type)) {
      throw Error(fmt::format("{} holds '{}' as {}, which the net does not have", source,
                              entry.name, entry.tensor.type.str()));
    }
  }
  for (const NamedTensor& entry : saved) states.write(entry.name, entry.tensor);
}

}  // namespace

fs::path Checkpoints::folder_of(int64_t epoch) const {
  return folder_ / fmt::format("{}{:04}", kPrefix, epoch);
}

std::vector<int64_t> Checkpoints::epochs() const {
  std::vector<int64_t> out;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder_, none)) {
    const std::string name = entry.path().filename();
    int64_t epoch = 0;
    if (!name.starts_with(kPrefix)) continue;
    const char* end = name.data() + name.size();
    const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, epoch);
    if (error == std::errc() && stop == end) out.push_back(epoch);
  }
  std::sort(out.begin(), out.end(), std::greater<>());
  return out;
}

void Checkpoints::write(const RunRecord& record, const StateStore& states) {
  const int64_t epoch = record.history.back().epoch;
  const StatesImage image(states);
  const auto pieces = image.pieces();
  Digest digest;
  int64_t bytes = 0;
  for (const std::string_view piece : pieces) {
    digest.add(piece);
    bytes += static_cast<int64_t>(piece.size());
  }
  ordered_json content = {{"format", kFormat},
                          {"epoch", epoch},
                          {"states", {{"bytes", bytes}, {"sha256", digest.hex()}}},
                          {"record", to_json(record)}};
  const ordered_json manifest = {{"sha256", content_hash(content.dump())}, {"content", content}};

  const fs::path part = folder_ / "new.part";
  fs_.remove(part);
  fs_.make_folder(part);
  fs_.write(part / kStates, pieces);
  const std::string text = manifest.dump(1) + "\n";
  const std::string_view view = text;
  fs_.write(part / kManifest, std::span(&view, 1));
  fs_.replace_folder(part, folder_of(epoch));

  const std::vector<int64_t> all = epochs();
  for (size_t k = kKept; k < all.size(); ++k) fs_.remove(folder_of(all[k]));
}

RunRecord Checkpoints::read(int64_t epoch, StateStore& states) const {
  const fs::path folder = folder_of(epoch);
  const std::string manifest_name = (folder / kManifest).string();
  const std::string states_name = (folder / kStates).string();
  const ordered_json content =
      parse_manifest(fs_.read(folder / kManifest, kManifestLimit), manifest_name);
  RunRecord record = parse_record(content.at("record"), manifest_name);
  if (record.history.empty() || record.history.back().epoch != epoch) {
    throw Error(fmt::format("{} is not of epoch {}", manifest_name, epoch));
  }
  std::string bytes = fs_.read(folder / kStates, content.at("states").at("bytes").get<int64_t>());
  if (content_hash(bytes) != content.at("states").at("sha256")) {
    throw Error(states_name + " does not have its checksum");
  }
  copy_states(std::as_writable_bytes(std::span(bytes)), states, states_name);
  return record;
}

std::optional<RunRecord> Checkpoints::restore(StateStore& states,
                                              const std::function<void(const std::string&)>& warn,
                                              std::optional<int64_t> epoch) const {
  for (const int64_t candidate : epochs()) {
    if (epoch && candidate != *epoch) continue;
    try {
      return read(candidate, states);
    } catch (const Error& error) {
      if (warn) warn(fmt::format("checkpoint skipped: {}", error.what()));
    } catch (const nlohmann::json::exception&) {
      if (warn)
        warn(fmt::format("checkpoint skipped: {} is damaged", folder_of(candidate).string()));
    }
  }
  return std::nullopt;
}

}  // namespace expgraph
