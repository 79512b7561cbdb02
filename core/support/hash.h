// hash: text and files -> digests that name their content.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace expgraph {

/// A digest over bytes that arrive in pieces.
class Digest {
 public:
  enum class Kind { sha256, md5 };  ///< md5 only where a publisher gives nothing else

  explicit Digest(Kind kind = Kind::sha256);
  void add(std::string_view bytes);
  /// Lower-case hexadecimal; the digest is finished by it.
  std::string hex();

 private:
  std::shared_ptr<void> context_;
};

/// SHA-256 of a text: 64 hexadecimal digits.
std::string content_hash(std::string_view text);

/// Digest of a file's bytes; Error (environment) when it cannot be read.
std::string file_hash(const std::filesystem::path& path, Digest::Kind kind = Digest::Kind::sha256);

}  // namespace expgraph
