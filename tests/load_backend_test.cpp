// Loading of backends: files that are missing, damaged or something else.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <stdlib.h>

#include <fstream>

#include "core/backend.h"
#include "tests/support/temporary_folder.h"

using namespace expgraph;
namespace fs = std::filesystem;

namespace {

/// What loading the backend `onednn` from a folder says; it is not loaded, so it may be tried
/// again.
std::string loading_from(const fs::path& folder) {
  ::setenv("EXPGRAPH_BACKENDS", folder.c_str(), 1);
  try {
    load_backend("onednn");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::environment);
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("a backend that is missing, damaged or something else is told apart") {
  const TemporaryFolder folder;
  const fs::path module = folder.path / "expgraph_onednn.so";
  CHECK(loading_from(folder.path) ==
        "backend 'onednn' is not built: ./expgraph --backend onednn builds it");
  std::ofstream(module) << "not a module";
  CHECK(loading_from(folder.path) ==
        fmt::format("backend 'onednn' cannot be loaded: {}: file too short", module.string()));
  fs::copy_file(fs::path(EXPGRAPH_BINARY_DIR) / "lib" / "libexpgraph_core.so", module,
                fs::copy_options::overwrite_existing);
  CHECK(loading_from(folder.path) == "expgraph_onednn.so is not a backend of expgraph");
}
