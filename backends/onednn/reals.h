// reals: operands of f32 or bf16 -> runs of floats, in place or in a buffer.
#pragma once

#include "backends/onednn/bf16.h"
#include "backends/onednn/kernels.h"

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
  /// The value without its first elements.
  RealsIn from(int64_t element) const {
    RealsIn rest = *this;
    if (data_) rest.data_ = static_cast<const std::byte*>(data_) + element * (is_short_ ? 2 : 4);
    return rest;
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
  bool is_short() const { return is_short_; }
  /// Where elements from `first` on are to be written, before they are put().
  float* at(int64_t first, float* buffer) const {
    if (data_ == nullptr) return nullptr;
    return is_short_ ? buffer : static_cast<float*>(data_) + first;
  }
  void put(int64_t first, int64_t count, const float* buffer) const {
    if (data_ && is_short_) narrow(buffer, static_cast<uint16_t*>(data_) + first, count);
  }
  RealsOut from(int64_t element) const {
    RealsOut rest = *this;
    if (data_) rest.data_ = static_cast<std::byte*>(data_) + element * (is_short_ ? 2 : 4);
    return rest;
  }

 private:
  void* data_ = nullptr;
  bool is_short_ = false;
};

/// Runs of at most `elements` floats for each of several operands and threads, in a kernel's
/// scratch; of none where none is needed.
class Runs {
 public:
  Runs() = default;
  Runs(bool needed, int operands, int64_t elements, int threads, ScratchPlan& scratch)
      : elements_(needed ? (elements + 15) / 16 * 16 : 0), operands_(operands) {
    at_ = scratch.add(elements_ * operands * threads * int64_t{sizeof(float)});
  }
  bool in_place() const { return elements_ == 0; }
  float* of(const KernelArgs& args, int thread, int operand) const {
    return reinterpret_cast<float*>(args.scratch + at_) +
           (thread * operands_ + operand) * elements_;
  }

 private:
  int64_t elements_ = 0, operands_ = 0, at_ = 0;
};

}  // namespace expgraph::onednn
