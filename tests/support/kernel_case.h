// kernel_case: maps in the order of a graph -> what the CUDA kernels read, and back: channels last,
// rounded to the storage type.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <random>

#include "backends/libtorch/cuda/kernels.h"
#include "core/support/half.h"
#include "tests/support/device_memory.h"
#include "tests/support/op_case.h"

namespace expgraph::test {

/// Values as they lie in memory of a storage type.
struct Stored {
  cuda::Storage storage;
  std::vector<std::byte> bytes;
};

inline float rounded(float x, cuda::Storage storage) {
  if (storage == cuda::Storage::f16) return f16_to_float(float_to_f16(x));
  if (storage == cuda::Storage::bf16) return bf16_to_float(float_to_bf16(x));
  return x;
}

inline int64_t bytes_of(cuda::Storage storage) { return storage == cuda::Storage::f32 ? 4 : 2; }

inline std::vector<std::byte> encode(std::span<const float> values, cuda::Storage storage) {
  std::vector<std::byte> bytes(values.size() * static_cast<size_t>(bytes_of(storage)));
  for (size_t i = 0; i < values.size(); ++i) {
    if (storage == cuda::Storage::f32) {
      std::memcpy(bytes.data() + 4 * i, &values[i], 4);
      continue;
    }
    const bool half = storage == cuda::Storage::f16;
    const uint16_t bits = half ? float_to_f16(values[i]) : float_to_bf16(values[i]);
    std::memcpy(bytes.data() + 2 * i, &bits, 2);
  }
  return bytes;
}

inline std::vector<float> decode(std::span<const std::byte> bytes, cuda::Storage storage) {
  std::vector<float> values(bytes.size() / static_cast<size_t>(bytes_of(storage)));
  for (size_t i = 0; i < values.size(); ++i) {
    if (storage == cuda::Storage::f32) {
      std::memcpy(&values[i], bytes.data() + 4 * i, 4);
      continue;
    }
    uint16_t bits = 0;
    std::memcpy(&bits, bytes.data() + 2 * i, 2);
    values[i] = storage == cuda::Storage::f16 ? f16_to_float(bits) : bf16_to_float(bits);
  }
  return values;
}

/// Activations on the device; `skew` bytes after an aligned address.
class DeviceMap {
 public:
  DeviceMap(std::span<const float> values, cuda::Storage storage, int64_t skew = 0)
      : storage_(storage), bytes_(encode(values, storage), skew) {}
  DeviceMap(int64_t count, cuda::Storage storage, int64_t skew = 0)
      : storage_(storage), bytes_(count * bytes_of(storage), skew) {}
  void* data() { return bytes_.data(); }
  std::vector<float> read() { return decode(bytes_.read(), storage_); }

 private:
  cuda::Storage storage_;
  DeviceArray<std::byte> bytes_;
};

/// [n, c, h, w] <-> [n, h, w, c].
template <typename T>
std::vector<T> to_channels_last(const std::vector<T>& from, int64_t n, int64_t c, int64_t pixels) {
  std::vector<T> to(from.size());
  for (int64_t image = 0; image < n; ++image)
    for (int64_t k = 0; k < c; ++k)
      for (int64_t i = 0; i < pixels; ++i)
        to[static_cast<size_t>((image * pixels + i) * c + k)] =
            from[static_cast<size_t>((image * c + k) * pixels + i)];
  return to;
}

template <typename T>
std::vector<T> elements(const Tensor& tensor) {
  std::vector<T> values(static_cast<size_t>(tensor.type.elements()));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<T>(tensor.at(static_cast<int64_t>(i)));
  return values;
}

/// The largest difference over the largest wanted value; NaN in one alone is infinitely off.
template <typename Wanted, typename T>
double distance(const std::vector<Wanted>& want, const std::vector<T>& got) {
  if (want.size() != got.size()) throw std::logic_error("sizes differ");
  double largest = 0, worst = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const auto a = static_cast<double>(want[i]), b = static_cast<double>(got[i]);
    if (std::isnan(a) && std::isnan(b)) continue;
    if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<double>::infinity();
    largest = std::max(largest, std::abs(a));
    worst = std::max(worst, std::abs(a - b));
  }
  return worst / (largest > 0 ? largest : 1);
}

}  // namespace expgraph::test
