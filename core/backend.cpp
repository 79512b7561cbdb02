// backend: a name -> the module lib/expgraph_<name>.so, opened once with private symbols.
#include "core/backend.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>

#include "core/host_store.h"
#include "core/support/suggest.h"

namespace expgraph {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kPrefix = "expgraph_";
constexpr std::string_view kSuffix = ".so";

/// Modules lie beside the core library, or where EXPGRAPH_BACKENDS says.
fs::path module_folder() {
  if (const char* folder = std::getenv("EXPGRAPH_BACKENDS")) return folder;
  Dl_info info{};
  EXPGRAPH_CHECK(dladdr(reinterpret_cast<const void*>(&load_backend), &info) != 0);
  return fs::path(info.dli_fname).parent_path();
}

const Backend& open_module(const std::string& name) {
  const fs::path file = module_folder() / (std::string(kPrefix) + name + std::string(kSuffix));
  std::error_code missing;
  if (!fs::exists(file, missing)) {
    throw Error(fmt::format("backend '{0}' is not built: ./expgraph --backend {0} builds it", name),
                {}, ExitCode::environment);
  }
  void* module = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (module == nullptr) {
    throw Error(fmt::format("backend '{}' cannot be loaded: {}", name, dlerror()), {},
                ExitCode::environment);
  }
  using Entry = const Backend* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(module, "expgraph_backend"));
  if (entry == nullptr) {
    throw Error(fmt::format("{} is not a backend of expgraph", file.filename().string()), {},
                ExitCode::environment);
  }
  return *entry();
}

}  // namespace

Buffer Backend::make_buffer(const TensorType& type) const {
  const auto memory = std::make_shared<AlignedBuffer>(type.bytes());
  return {memory, {type, memory->data()}};
}

void Backend::copy(const TensorView& from, const TensorView& to) const {
  EXPGRAPH_CHECK(from.type == to.type);
  std::memcpy(to.data, from.data, static_cast<size_t>(to.type.bytes()));
}

const Backend& load_backend(const std::string& name) {
  static std::mutex mutex;
  static std::map<std::string, const Backend*> loaded;
  const std::lock_guard lock(mutex);
  if (const auto found = loaded.find(name); found != loaded.end()) return *found->second;
  target(name);  // an unknown name is an error with the nearest one
  return *(loaded[name] = &open_module(name));
}

std::vector<std::string> backend_names() {
  std::vector<std::string> names;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(module_folder(), missing)) {
    const std::string file = entry.path().filename().string();
    if (file.starts_with(kPrefix) && file.ends_with(kSuffix)) {
      const std::string name =
          file.substr(kPrefix.size(), file.size() - kPrefix.size() - kSuffix.size());
      const std::vector<std::string> known = target_names();
      if (std::find(known.begin(), known.end(), name) != known.end()) names.push_back(name);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace expgraph
