// download: an address and a digest -> a file, resumed where it was cut off.
#include "core/data/download.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

#include "core/support/diagnostics.h"
#include "core/support/fs.h"
#include "core/support/hash.h"

namespace expgraph {
namespace {

namespace fs = std::filesystem;

constexpr long kConnectSeconds = 30;
constexpr long kStalledSeconds = 60;

struct Transfer {
  std::FILE* file = nullptr;
  int64_t bytes = 0;  ///< in the file
  int64_t most_bytes = 0;
  const std::function<void(double)>* progress = nullptr;
};

size_t receive(char* data, size_t, size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  transfer.bytes += static_cast<int64_t>(size);
  if (transfer.bytes > transfer.most_bytes) return CURL_WRITEFUNC_ERROR;
  return std::fwrite(data, 1, size, transfer.file);
}

int report(void* user, curl_off_t total, curl_off_t now, curl_off_t, curl_off_t) {
  const auto& transfer = *static_cast<const Transfer*>(user);
  if (*transfer.progress && total > 0) {
    // total and now count this answer, which may be the rest of a file.
    const int64_t before = transfer.bytes - now;
    (*transfer.progress)(static_cast<double>(transfer.bytes) / static_cast<double>(before + total));
  }
  return 0;
}

[[noreturn]] void cannot_write(const fs::path& path, int reason) {
  throw Error(
      fmt::format("cannot write '{}': {}", path.string(), std::generic_category().message(reason)),
      {}, ExitCode::environment);
}

struct Outcome {
  CURLcode code = CURLE_OK;
  long status = 0;
  bool too_large = false;
  std::string reason;
};

/// One request, from the end of what is in `part`.
Outcome fetch(const Download& what, const fs::path& part,
              const std::function<void(double)>& progress) {
  const std::unique_ptr<CURL, void (*)(CURL*)> handle(curl_easy_init(), curl_easy_cleanup);
  EXPGRAPH_CHECK(handle != nullptr);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(part.c_str(), "ab"),
                                                             std::fclose);
  if (file == nullptr) cannot_write(part, errno);
  Transfer transfer{file.get(), static_cast<int64_t>(fs::file_size(part)), what.most_bytes,
                    &progress};
  char reason[CURL_ERROR_SIZE] = "";
  const auto set = [&](CURLoption option, auto value) {
    EXPGRAPH_CHECK(curl_easy_setopt(handle.get(), option, value) == CURLE_OK);
  };
  set(CURLOPT_URL, what.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_REDIR_PROTOCOLS_STR, "https");
  set(CURLOPT_FOLLOWLOCATION, 1L);
  set(CURLOPT_MAXREDIRS, 5L);
  set(CURLOPT_FAILONERROR, 1L);
  set(CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  set(CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(CURLOPT_LOW_SPEED_TIME, kStalledSeconds);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_RESUME_FROM_LARGE, static_cast<curl_off_t>(transfer.bytes));
  set(CURLOPT_WRITEFUNCTION, receive);
  set(CURLOPT_WRITEDATA, &transfer);
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, report);
  set(CURLOPT_XFERINFODATA, &transfer);
  set(CURLOPT_ERRORBUFFER, reason);
  Outcome outcome;
  outcome.code = curl_easy_perform(handle.get());
  curl_easy_getinfo(handle.get(), CURLINFO_RESPONSE_CODE, &outcome.status);
  outcome.too_large = transfer.bytes > transfer.most_bytes;
  outcome.reason = *reason != '\0' ? reason : curl_easy_strerror(outcome.code);
  if (std::fflush(file.get()) != 0) cannot_write(part, errno);
  return outcome;
}

bool cannot_resume(const Outcome& outcome) {
  constexpr long range_not_satisfiable = 416;
  return outcome.code == CURLE_RANGE_ERROR ||
         (outcome.code == CURLE_HTTP_RETURNED_ERROR && outcome.status == range_not_satisfiable);
}

}  // namespace

void download(const Download& what, const fs::path& to,
              const std::function<void(double)>& progress) {
  Fs& files = system_fs();
  files.make_folder(to.parent_path());
  fs::path part = to;
  part += ".part";
  const std::optional<FileLock> lock = files.lock(part.string() + ".lock");
  if (!lock) {
    throw Error(fmt::format("another process is fetching '{}'", to.string()), {},
                ExitCode::environment);
  }
  Outcome outcome = fetch(what, part, progress);
  if (cannot_resume(outcome) && file_hash(part, Digest::Kind::md5) != what.md5) {
    files.remove(part);
    outcome = fetch(what, part, progress);
  } else if (cannot_resume(outcome)) {
    outcome.code = CURLE_OK;  // all of it had come before
  }
  if (outcome.too_large) {
    files.remove(part);
    throw Error(fmt::format("'{}' has more than the {} bytes expected", what.url, what.most_bytes),
                {}, ExitCode::environment);
  }
  if (outcome.code != CURLE_OK) {
    Error error(fmt::format("cannot fetch '{}': {}", what.url, outcome.reason), {},
                ExitCode::environment);
    if (const uintmax_t kept = fs::file_size(part); kept > 0) {
      error.note(fmt::format("{} bytes have come and are kept: run again to go on", kept));
    }
    throw error;
  }
  if (const std::string got = file_hash(part, Digest::Kind::md5); got != what.md5) {
    files.remove(part);
    throw Error(
        fmt::format("'{}' has MD5 {}, expected {}: it was removed", what.url, got, what.md5), {},
        ExitCode::environment);
  }
  files.rename(part, to);
  files.sync_folder(to.parent_path());
}

}  // namespace expgraph
