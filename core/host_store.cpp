// host_store: named states and one shared arena in host memory, for backends that compute there.
#include "core/host_store.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cstring>
#include <new>

namespace expgraph {

namespace {
constexpr auto kAlignment = std::align_val_t{64};
constexpr size_t kLarge = 128 << 10;

std::byte* map(size_t bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw std::bad_alloc();
  return static_cast<std::byte*>(data);
}

}  // namespace

AlignedBuffer::AlignedBuffer(int64_t bytes) : bytes_(bytes) {
  const auto size = static_cast<size_t>(bytes);
  if (size >= kLarge) {
    data_ = decltype(data_)(map(size), FreeAligned{size});
  } else {
    data_.reset(static_cast<std::byte*>(::operator new(size, kAlignment)));
  }
}

void FreeAligned::operator()(std::byte* data) const {
  mapped > 0 ? (void)munmap(data, mapped) : ::operator delete(data, kAlignment);
}

void HostStateStore::create(const std::string& name, const TensorType& type) {
  if (auto found = states_.find(name); found != states_.end()) {
    if (found->second.type != type)
      throw Error(fmt::format("state '{}' is {}, the program expects {}", name,
                              found->second.type.str(), type.str()));
    return;
  }
  AlignedBuffer buffer(type.bytes());
  std::memset(buffer.data(), 0, static_cast<size_t>(type.bytes()));
  states_.emplace(name, State{type, std::move(buffer)});
}

std::vector<std::string> HostStateStore::names() const {
  std::vector<std::string> names;
  for (const auto& [name, state] : states_) names.push_back(name);
  return names;
}

void HostStateStore::read(const std::string& name, const TensorView& to) const {
  const State& from = state(name);
  EXPGRAPH_CHECK(from.type == to.type);
  std::memcpy(to.data, from.buffer.data(), static_cast<size_t>(from.type.bytes()));
}

void HostStateStore::write(const std::string& name, const TensorView& from) {
  const State& to = state(name);
  EXPGRAPH_CHECK(from.type == to.type);
  std::memcpy(to.buffer.data(), from.data, static_cast<size_t>(to.type.bytes()));
}

std::byte* HostStateStore::arena(int64_t bytes) {
  if (bytes > arena_.bytes()) {
    arena_ = {};  // before the new one is made: the old contents are not kept
    arena_ = AlignedBuffer(bytes);
  }
  return arena_.data();
}

const HostStateStore::State& HostStateStore::state(const std::string& name) const {
  auto found = states_.find(name);
  if (found == states_.end()) throw std::logic_error("no state '" + name + "' in the store");
  return found->second;
}

}  // namespace expgraph
