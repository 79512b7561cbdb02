// block_unit: the ways to multiply blocks of bf16 that this machine has: tiles (AMX), dot products
// of pairs (AVX-512 BF16), or f32 vectors.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdlib>
#include <cstring>

#include "backends/onednn/bf16.h"
#include "core/support/amx.h"
#include "core/support/diagnostics.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace expgraph::onednn {

namespace {

bool always() { return true; }

#if defined(__x86_64__)

__attribute__((target("amx-tile"))) void release_tiles() { _tile_release(); }

/// Tiles 0 to 3 hold sums, 4 and 5 rows of A, 6 and 7 columns of B.
__attribute__((target("amx-tile,amx-bf16"))) void multiply_tiles(const BlockProduct& p) {
  constexpr int kHalf = 16;
  float* const sums = p.sums;
  float* const lower = sums + kHalf * p.sum_row;
  const int64_t sum_bytes = p.sum_row * int64_t{sizeof(float)};
  if (p.add) {
    _tile_loadd(0, sums, sum_bytes);
    _tile_loadd(1, sums + kHalf, sum_bytes);
    _tile_loadd(2, lower, sum_bytes);
    _tile_loadd(3, lower + kHalf, sum_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  const int64_t a_bytes = p.a_row * int64_t{sizeof(uint16_t)};
  const int64_t b_bytes = p.b_row * int64_t{sizeof(uint32_t)};
  const uint32_t* b = p.b;
  for (int64_t s = 0; s < p.steps; ++s, b += p.b_step) {
    const uint16_t* a = p.a + p.a_at[s];
    _tile_loadd(4, a, a_bytes);
    _tile_loadd(6, b, b_bytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b + kHalf, b_bytes);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a + kHalf * p.a_row, a_bytes);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, sums, sum_bytes);
  _tile_stored(1, sums + kHalf, sum_bytes);
  _tile_stored(2, lower, sum_bytes);
  _tile_stored(3, lower + kHalf, sum_bytes);
}

/// kRows rows from `row` on, all columns.
template <int kRows>
__attribute__((target("avx512f,avx512bf16"))) void multiply_dots(const BlockProduct& p,
                                                                 int64_t row) {
  constexpr int kLanes = 16;
  __m512 left[kRows], right[kRows];
  float* to = p.sums + row * p.sum_row;
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    left[i] = p.add ? _mm512_loadu_ps(to + i * p.sum_row) : _mm512_setzero_ps();
    right[i] = p.add ? _mm512_loadu_ps(to + i * p.sum_row + kLanes) : _mm512_setzero_ps();
  }
  for (int64_t s = 0; s < p.steps; ++s) {
    const uint16_t* a = p.a + row * p.a_row + p.a_at[s];
    const uint32_t* b = p.b + s * p.b_step;
    for (int k = 0; k < BlockProduct::kDepth / 2; ++k, b += p.b_row) {
      const auto b_left = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b));
      const auto b_right = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b + kLanes));
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) {
        int32_t pair;
        std::memcpy(&pair, a + i * p.a_row + 2 * k, sizeof pair);
        const auto both = reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
        left[i] = _mm512_dpbf16_ps(left[i], both, b_left);
        right[i] = _mm512_dpbf16_ps(right[i], both, b_right);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    _mm512_storeu_ps(to + i * p.sum_row, left[i]);
    _mm512_storeu_ps(to + i * p.sum_row + kLanes, right[i]);
  }
}

__attribute__((target("avx512f,avx512bf16"))) void multiply_pairs(const BlockProduct& product) {
  constexpr int kRows = 8;
  for (int64_t row = 0; row < BlockProduct::kSide; row += kRows) multiply_dots<kRows>(product, row);
}

bool has_pairs() {
  return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bf16") != 0;
}

#endif

struct Way {
  bool (*works)();
  BlockUnit unit;
};

/// Fastest first.
constexpr Way kWays[] = {
#if defined(__x86_64__)
    {amx_multiplies, {"amx", configure_amx_tiles, multiply_tiles, release_tiles}},
    {has_pairs, {"avx512", nullptr, multiply_pairs, nullptr}},
#endif
    {always, {"fp32", nullptr, multiply_block_in_f32, nullptr}},
};

}  // namespace

const BlockUnit& block_unit() {
  const char* wanted = std::getenv("EXPGRAPH_BF16");
  std::vector<std::string> names;
  for (const Way& way : kWays) {
    if (!way.works()) continue;
    if (wanted == nullptr || std::string_view(wanted) == way.unit.name) return way.unit;
    names.emplace_back(way.unit.name);
  }
  throw Error(fmt::format("EXPGRAPH_BF16 is one of {} on this machine, got '{}'",
                          fmt::join(names, ", "), wanted),
              {}, ExitCode::environment);
}

}  // namespace expgraph::onednn
