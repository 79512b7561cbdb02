// hash: text and files -> digests that name their content.
#include "core/support/hash.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <fstream>
#include <vector>

#include "core/support/diagnostics.h"

namespace expgraph {
namespace {

EVP_MD_CTX* of(const std::shared_ptr<void>& context) {
  return static_cast<EVP_MD_CTX*>(context.get());
}

}  // namespace

Digest::Digest(Kind kind)
    : context_(EVP_MD_CTX_new(),
               [](void* context) { EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context)); }) {
  const EVP_MD* type = kind == Kind::sha256 ? EVP_sha256() : EVP_md5();
  EXPGRAPH_CHECK(EVP_DigestInit_ex(of(context_), type, nullptr) == 1);
}

void Digest::add(std::string_view bytes) {
  EXPGRAPH_CHECK(EVP_DigestUpdate(of(context_), bytes.data(), bytes.size()) == 1);
}

std::string Digest::hex() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EXPGRAPH_CHECK(EVP_DigestFinal_ex(of(context_), digest, &size) == 1);
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

std::string content_hash(std::string_view text) {
  Digest digest;
  digest.add(text);
  return digest.hex();
}

std::string file_hash(const std::filesystem::path& path, Digest::Kind kind) {
  std::ifstream in(path, std::ios::binary);
  Digest digest(kind);
  std::vector<char> buffer(1 << 20);
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0) {
    digest.add({buffer.data(), static_cast<size_t>(in.gcount())});
  }
  if (!in.eof()) {
    throw Error(fmt::format("cannot read '{}'", path.string()), {}, ExitCode::environment);
  }
  return digest.hex();
}

}  // namespace expgraph
