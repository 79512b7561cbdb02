// device_memory: values where kernels can reach them: on the device, or, where the kernels are
// emulated, on the host between guard zones.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <stdexcept>
#include <vector>

#include "core/host_store.h"

#if defined(EXPGRAPH_ON_DEVICE)
#include <cuda_runtime.h>
#elif defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace expgraph::test {

/// An array of T, filled with NaN (bytes 0xff); `skew` elements after an aligned address.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(int64_t count, int64_t skew = 0)
      : bytes_(static_cast<size_t>(count) * sizeof(T)), skew_(skew * int64_t{sizeof(T)}) {
    whole_.assign(bytes_ + static_cast<size_t>(skew_) + 2 * kGuard, std::byte{0xff});
    allocate();
  }
  DeviceArray(std::span<const T> values, int64_t skew = 0)
      : DeviceArray(static_cast<int64_t>(values.size()), skew) {
    if (bytes_ > 0) std::memcpy(whole_.data() + first(), values.data(), bytes_);
    upload();
  }
  explicit DeviceArray(const std::vector<T>& values, int64_t skew = 0)
      : DeviceArray(std::span<const T>(values), skew) {}
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { release(); }

  T* data() { return reinterpret_cast<T*>(base() + first()); }
  std::vector<T> read() {
    download();
    for (size_t k = 0; k < whole_.size(); ++k) {
      const bool inside = k >= first() && k < first() + bytes_;
      if (!inside && whole_[k] != std::byte{0xff})
        throw std::logic_error("a guard zone is written");
    }
    std::vector<T> values(bytes_ / sizeof(T));
    if (bytes_ > 0) std::memcpy(values.data(), whole_.data() + first(), bytes_);
    return values;
  }

 private:
  static constexpr size_t kGuard = 256;
  size_t first() const { return kGuard + static_cast<size_t>(skew_); }

#if defined(EXPGRAPH_ON_DEVICE)
  static void check(cudaError_t status) {
    if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
  }
  std::byte* base() { return memory_; }
  void allocate() {
    check(cudaMalloc(&memory_, whole_.size()));
    upload();
  }
  void upload() { check(cudaMemcpy(memory_, whole_.data(), whole_.size(), cudaMemcpyDefault)); }
  void download() { check(cudaMemcpy(whole_.data(), memory_, whole_.size(), cudaMemcpyDefault)); }
  void release() { cudaFree(memory_); }
  std::byte* memory_ = nullptr;
#else
  std::byte* base() { return memory_.data(); }
  void allocate() {
    memory_ = AlignedBuffer(static_cast<int64_t>(whole_.size()));
    upload();
  }
  void upload() {
    open();
    std::memcpy(memory_.data(), whole_.data(), whole_.size());
#if defined(__SANITIZE_ADDRESS__)
    ASAN_POISON_MEMORY_REGION(memory_.data(), kGuard);
    ASAN_POISON_MEMORY_REGION(memory_.data() + first() + bytes_, kGuard);
#endif
  }
  void download() {
    open();
    std::memcpy(whole_.data(), memory_.data(), whole_.size());
  }
  void release() { open(); }
  void open() {
#if defined(__SANITIZE_ADDRESS__)
    ASAN_UNPOISON_MEMORY_REGION(memory_.data(), whole_.size());
#endif
  }
  AlignedBuffer memory_;
#endif

  size_t bytes_;
  int64_t skew_;
  std::vector<std::byte> whole_;
};

}  // namespace expgraph::test
