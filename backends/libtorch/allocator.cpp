// allocator: sizes of tensors -> blocks of memory, given back ones first.
#include "backends/libtorch/allocator.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <vector>

namespace expgraph::libtorch {

namespace {

constexpr auto kAlignment = std::align_val_t{64};
constexpr size_t kHeader = 64;          // before a block: its size
constexpr size_t kLeastKept = 1 << 16;  // smaller ones are what malloc is good at

/// Up to the next eighth of a power of two, so that tensors of about one size share blocks.
size_t rounded(size_t bytes) {
  const size_t step = std::max<size_t>(64, std::bit_floor(std::max<size_t>(bytes, 1)) / 8);
  return (bytes + step - 1) / step * step;
}

/// Blocks that were given back, by size; a step asks for the same sizes as the one before. All
/// blocks together are never more than a quarter above what was once in use at a time.
class Blocks {
 public:
  static Blocks& all() {
    static Blocks* blocks = new Blocks;  // tensors in static storage would outlive it
    return *blocks;
  }

  void* take(size_t bytes) {
    const size_t size = rounded(bytes);
    if (size >= kLeastKept) {
      const std::lock_guard lock(mutex_);
      used_ += size;
      most_used_ = std::max(most_used_, used_);
      if (std::byte* block = take_kept(size)) return block;
      while (!kept_.empty() && used_ + kept_bytes_ > most_used_ + most_used_ / 4) {
        const size_t largest = kept_.rbegin()->first;
        free(take_kept(largest));
      }
    }
    auto* base = static_cast<std::byte*>(::operator new(kHeader + size, kAlignment));
    std::memcpy(base, &size, sizeof size);
    return base + kHeader;
  }

  void give_back(void* data) {
    auto* block = static_cast<std::byte*>(data);
    size_t size = 0;
    std::memcpy(&size, block - kHeader, sizeof size);
    if (size < kLeastKept) return free(block);
    const std::lock_guard lock(mutex_);
    used_ -= size;
    kept_bytes_ += size;
    kept_[size].push_back(block);
  }

 private:
  std::byte* take_kept(size_t size) {
    const auto found = kept_.find(size);
    if (found == kept_.end()) return nullptr;
    std::byte* block = found->second.back();
    found->second.pop_back();
    if (found->second.empty()) kept_.erase(found);
    kept_bytes_ -= size;
    return block;
  }
  static void free(std::byte* block) { ::operator delete(block - kHeader, kAlignment); }

  std::mutex mutex_;
  std::map<size_t, std::vector<std::byte*>> kept_;  // none of them empty
  size_t used_ = 0, most_used_ = 0, kept_bytes_ = 0;
};

class KeepingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* data = bytes == 0 ? nullptr : Blocks::all().take(bytes);
    return {data, data, give_back, at::Device(at::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return give_back; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

 private:
  static void give_back(void* data) {
    if (data != nullptr) Blocks::all().give_back(data);
  }
};

}  // namespace

void keep_tensor_memory() {
  static KeepingAllocator allocator;
  c10::SetCPUAllocator(&allocator, /*priority=*/1);
}

}  // namespace expgraph::libtorch
