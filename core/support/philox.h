// philox: a counter and a key -> four random words. No state: the same counter and key always
// give the same words, so any part of a stream can be drawn alone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace expgraph {

using PhiloxKey = std::array<uint32_t, 2>;
using PhiloxBlock = std::array<uint32_t, 4>;

/// Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3",
/// SC 2011).
constexpr PhiloxBlock philox(PhiloxBlock counter, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

/// Words of one stream, in order: words 0 and 1 of the counter count blocks, words 2 and 3 name
/// the stream under its key.
class PhiloxStream {
 public:
  constexpr PhiloxStream(PhiloxKey key, uint64_t stream)
      : key_(key),
        counter_{0, 0, static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)} {}

  constexpr uint32_t next() {
    if (used_ == 4) {
      block_ = philox(counter_, key_);
      if (++counter_[0] == 0) ++counter_[1];
      used_ = 0;
    }
    return block_[used_++];
  }

  /// Uniform in 0 .. bound-1 without bias (Lemire: "Fast random integer generation in an
  /// interval", TOMACS 2019); bound in 1 .. 2^32-1.
  constexpr uint32_t below(uint32_t bound) {
    uint64_t product = uint64_t{next()} * bound;
    if (static_cast<uint32_t>(product) < bound) {
      const uint32_t threshold = -bound % bound;
      while (static_cast<uint32_t>(product) < threshold) product = uint64_t{next()} * bound;
    }
    return static_cast<uint32_t>(product >> 32);
  }

  /// Uniform in (0, 1): never 0, never 1.
  constexpr double uniform() { return (next() + 0.5) * 0x1p-32; }

 private:
  PhiloxKey key_;
  PhiloxBlock counter_;
  PhiloxBlock block_{};
  size_t used_ = 4;
};

}  // namespace expgraph
