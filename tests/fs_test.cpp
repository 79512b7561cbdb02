// Files and digests: what a crash or a full disk leaves behind, locks, limits, known digests.
#include "core/support/fs.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <fstream>
#include <functional>

#include "core/support/diagnostics.h"
#include "core/support/hash.h"
#include "tests/support/faulty_fs.h"
#include "tests/support/temporary_folder.h"

using namespace expgraph;
namespace fs = std::filesystem;

namespace {

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::environment);
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("replace leaves the old file or the new one, whichever call fails and however") {
  const TemporaryFolder folder;
  const fs::path file = folder.path / "state";
  for (const auto fault : {FaultyFs::Fault::error, FaultyFs::Fault::crash}) {
    system_fs().remove(file);
    FaultyFs counting(system_fs(), 0, FaultyFs::Fault::error);
    counting.replace(file, "old content");
    CHECK(counting.calls() == 3);
    for (int64_t n = 1; n <= counting.calls(); ++n) {
      system_fs().replace(file, "old content");
      FaultyFs faulty(system_fs(), n, fault);
      CHECK_THROWS_AS(faulty.replace(file, "new"), Error);
      CHECK(system_fs().read(file, 100) == (n <= 2 ? "old content" : "new"));
    }
  }
}

TEST_CASE("a finished folder takes its place, or nothing has a half of it") {
  const TemporaryFolder folder;
  const fs::path place = folder.path / "run", made = folder.path / "run.part";
  for (int64_t n = 1; n <= 5; ++n) {
    system_fs().remove(place);
    system_fs().make_folder(made);
    system_fs().replace(made / "a", "1");
    FaultyFs faulty(system_fs(), n, FaultyFs::Fault::crash);
    if (n <= 4) {
      CHECK_THROWS_AS(faulty.replace_folder(made, place), Error);
    } else {
      faulty.replace_folder(made, place);
    }
    CHECK(fs::exists(place / "a") == (n >= 4));
  }
}

TEST_CASE("pieces are written in order and read back, with a limit") {
  const TemporaryFolder folder;
  const fs::path file = folder.path / "file";
  const std::string_view pieces[] = {"head", "", "body"};
  system_fs().replace(file, pieces);
  CHECK(system_fs().read(file, 8) == "headbody");
  CHECK(message_of([&] { system_fs().read(file, 7); }) ==
        fmt::format("'{}' has 8 bytes, expected at most 7", file.string()));
  CHECK_FALSE(fs::exists(file.string() + ".part"));
}

TEST_CASE("errors name the path and the reason") {
  const TemporaryFolder folder;
  const std::string there = folder.path.string();
  CHECK(message_of([&] { system_fs().read(there + "/none", 9); }) ==
        "cannot read '" + there + "/none': no such file or directory");
  CHECK(message_of([&] { system_fs().read(there, 9); }) ==
        "cannot read '" + there + "': is a directory");
  CHECK(message_of([&] { system_fs().replace(there + "/no/file", "x"); }) ==
        "cannot write '" + there + "/no/file.part': no such file or directory");
  CHECK(message_of([&] { file_hash(there + "/none"); }) == "cannot read '" + there + "/none'");
}

TEST_CASE("a lock is held by one, and free again when it ends") {
  const TemporaryFolder folder;
  const fs::path file = folder.path / "lock";
  auto first = system_fs().lock(file);
  REQUIRE(first);
  CHECK_FALSE(system_fs().lock(file));
  first.reset();
  CHECK(system_fs().lock(file));
}

TEST_CASE("digests are the published ones") {
  CHECK(content_hash("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Digest md5(Digest::Kind::md5);
  md5.add("message ");
  md5.add("digest");
  CHECK(md5.hex() == "f96b697d7cb7938d525a2f31aaf161d0");
  const TemporaryFolder folder;
  std::ofstream(folder.path / "f") << std::string(3000000, 'a');
  CHECK(file_hash(folder.path / "f") == content_hash(std::string(3000000, 'a')));
}
