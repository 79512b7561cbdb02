// reals: operands of f32 or bf16 -> runs of floats, in place or in a buffer.
#pragma once

#include "backends/onednn/bf16.h"
#include "core/host_executor.h"

namespace expgraph::onednn {

/// A value that is read; all of it may be absent.
class RealsIn {
 public:
  RealsIn() = default;
  RealsIn(const TensorView& value)
      : data_(value.data), is_short_(value.type.dtype == DType::bf16) {}

  explicit operator bool() const { return data_ != nullptr; }
  /// `count` elements from `first` on: where they lie, or widened into the buffer.
  const float* at(int64_t first, int64_t count, float* buffer) const {
    if (data_ == nullptr) return nullptr;
    if (!is_short_) return static_cast<const float*>(data_) + first;
    widen(static_cast<const uint16_t*>(data_) + first, buffer, count);
    return buffer;
  }

 private:
  const void* data_ = nullptr;
  bool is_short_ = false;
};

/// A value that is written.
class RealsOut {
 public:
  RealsOut() = default;
  RealsOut(const TensorView& value)
      : data_(value.data), is_short_(value.type.dtype == DType::bf16) {}

  explicit operator bool() const { return data_ != nullptr; }
  /// Where elements from `first` on are to be written, before they are put().
  float* at(int64_t first, float* buffer) const {
    if (data_ == nullptr) return nullptr;
    return is_short_ ? buffer : static_cast<float*>(data_) + first;
  }
  void put(int64_t first, int64_t count, const float* buffer) const {
    if (data_ && is_short_) narrow(buffer, static_cast<uint16_t*>(data_) + first, count);
  }

 private:
  void* data_ = nullptr;
  bool is_short_ = false;
};

}  // namespace expgraph::onednn
