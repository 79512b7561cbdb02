// host_store: named states and one shared arena in host memory, for backends that compute there.
#pragma once

#include <cstddef>
#include <map>
#include <memory>

#include "core/backend.h"

namespace expgraph {

struct FreeAligned {
  size_t mapped = 0;  ///< bytes that came from the system; 0: from the heap
  void operator()(std::byte* data) const;
};

/// Bytes that start at a multiple of 64 and are freed with it. Large ones come from the system and
/// go back to it, so that no process keeps what it no longer uses. Not in huge pages: they were
/// tried on one virtual machine, where the system took 0.9 s to make them up to DavidNet's first
/// step at batch 128, and 0.15 s for small ones (3 rounds each, other programs running).
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(int64_t bytes);  ///< not initialised
  std::byte* data() const { return data_.get(); }
  int64_t bytes() const { return bytes_; }

 private:
  std::unique_ptr<std::byte, FreeAligned> data_;
  int64_t bytes_ = 0;
};

class HostStateStore final : public StateStore {
 public:
  void create(const std::string& name, const TensorType& type) override;
  bool has(const std::string& name) const override { return states_.contains(name); }
  std::vector<std::string> names() const override;
  TensorType type(const std::string& name) const override { return state(name).type; }
  void read(const std::string& name, const TensorView& to) const override;
  void write(const std::string& name, const TensorView& from) override;

  /// The state itself: dense, row-major, 64-byte aligned, in place until the store goes.
  std::byte* data(const std::string& name) { return state(name).buffer.data(); }
  /// At least `bytes` bytes of scratch memory, 64-byte aligned, contents unspecified. Growing moves
  /// it: pointers into it are good until the next call.
  std::byte* arena(int64_t bytes);

 private:
  struct State {
    TensorType type;
    AlignedBuffer buffer;
  };
  const State& state(const std::string& name) const;

  std::map<std::string, State> states_;
  AlignedBuffer arena_;
};

}  // namespace expgraph
