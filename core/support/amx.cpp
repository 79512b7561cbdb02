// amx: the processor -> whether its matrix unit (AMX) can be used.
#include "core/support/amx.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

namespace expgraph {

namespace {

constexpr unsigned kFeatures = 7, kAmxBf16 = 1u << 22, kAmxTile = 1u << 24;

unsigned features() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(kFeatures, 0, &a, &b, &c, &d) ? d : 0;
}

/// What LDTILECFG reads (Intel's manual, volume 1, 18.3). Constant: the compiler does not know that
/// the instruction reads more than its first bytes.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
constexpr TileConfig kTiles;

/// ones[16, 32] x ones[32, 16] is 32 everywhere.
__attribute__((target("amx-tile,amx-bf16"))) bool multiply_once() {
  constexpr int kRowBytes = 64, kDepth = 32, kElements = 16 * 16;
  uint16_t ones[16 * kDepth];
  constexpr uint16_t kOne = 0x3f80;
  std::ranges::fill(ones, kOne);
  asm volatile("" ::: "memory");
  float sums[kElements] = {};
  configure_amx_tiles();
  _tile_zero(0);
  _tile_loadd(1, ones, kRowBytes);
  _tile_loadd(2, ones, kRowBytes);
  _tile_dpbf16ps(0, 1, 2);
  _tile_stored(0, sums, kRowBytes);
  release_amx_tiles();
  return std::ranges::all_of(sums, [](float sum) { return sum == float{kDepth}; });
}

sigjmp_buf refused;  // NOLINT: a signal handler reaches nothing else

extern "C" void refuse(int) { siglongjmp(refused, 1); }

bool try_product() {
  constexpr long kRequestState = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM
  const unsigned needed = kAmxBf16 | kAmxTile;
  if ((features() & needed) != needed) return false;
  if (syscall(SYS_arch_prctl, kRequestState, kTileData) != 0) return false;
  struct sigaction handler = {}, illegal = {}, fault = {};
  handler.sa_handler = refuse;
  sigaction(SIGILL, &handler, &illegal);
  sigaction(SIGSEGV, &handler, &fault);
  volatile bool works = false;
  if (sigsetjmp(refused, 1) == 0) works = multiply_once();
  sigaction(SIGILL, &illegal, nullptr);
  sigaction(SIGSEGV, &fault, nullptr);
  return works;
}

}  // namespace

__attribute__((target("amx-tile"))) void configure_amx_tiles() { _tile_loadconfig(&kTiles); }

__attribute__((target("amx-tile"))) void release_amx_tiles() { _tile_release(); }

Amx amx() {
  constexpr unsigned kTilePalette = 0x1d;
  if (!(features() & kAmxTile)) return Amx::none;
  // Palette 1 tells how many tiles there are.
  unsigned a = 0, b = 0, c = 0, d = 0;
  const bool palette = __get_cpuid_count(kTilePalette, 1, &a, &b, &c, &d) && (b >> 16) != 0;
  return palette ? Amx::usable : Amx::hidden;
}

bool amx_multiplies() {
  static const bool works = try_product();
  return works;
}

}  // namespace expgraph

#else

namespace expgraph {

Amx amx() { return Amx::none; }
bool amx_multiplies() { return false; }
void configure_amx_tiles() {}
void release_amx_tiles() {}

}  // namespace expgraph

#endif
