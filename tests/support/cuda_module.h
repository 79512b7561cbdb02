// cuda_module: the LibTorch backend on a GPU, or with its launches and kernels emulated.
#pragma once

#include <doctest/doctest.h>
#include <stdlib.h>

#include <algorithm>
#include <string>

#include "core/backend.h"
#include "tests/support/kernel_runs.h"

namespace expgraph::test {

#if defined(EXPGRAPH_ON_DEVICE)
inline constexpr bool kEmulated = false;
inline constexpr const char* kModules = EXPGRAPH_BINARY_DIR "/lib";
#else
inline constexpr bool kEmulated = true;
inline constexpr const char* kModules = EXPGRAPH_BINARY_DIR "/emulated";
#endif

/// Has backends come from kModules. Says so where there is none or no device, so that the test
/// counts as skipped.
inline bool no_cuda_module() {
  if (no_device()) return true;
  setenv("EXPGRAPH_BACKENDS", kModules, 1);
  const std::vector<std::string> names = backend_names();
  if (std::ranges::find(names, "libtorch") != names.end()) return false;
  MESSAGE("test skipped: libtorch is not built");
  return true;
}

}  // namespace expgraph::test
