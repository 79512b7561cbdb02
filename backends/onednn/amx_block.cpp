// amx_block: products of blocks of bf16 in tiles of the processor's matrix unit.
#include <cstdlib>
#include <string_view>

#include "backends/onednn/bf16.h"
#include "core/support/amx.h"
#include "core/support/diagnostics.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace expgraph::onednn {

bool multiplies_blocks() {
  const char* wanted = std::getenv("EXPGRAPH_AMX");
  return (wanted == nullptr || std::string_view(wanted) != "off") && amx_multiplies();
}

#if defined(__x86_64__)

BlockUnit::BlockUnit() { configure_amx_tiles(); }

BlockUnit::~BlockUnit() { release_amx_tiles(); }

/// Tiles 0 to 3 hold sums, 4 and 5 rows of A, 6 and 7 columns of B.
__attribute__((target("amx-tile,amx-bf16"))) void BlockUnit::multiply(const BlockProduct& p) const {
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

#else

BlockUnit::BlockUnit() { check_failed("a unit that multiplies blocks", __FILE__, __LINE__); }
BlockUnit::~BlockUnit() = default;
void BlockUnit::multiply(const BlockProduct&) const {}

#endif

}  // namespace expgraph::onednn
