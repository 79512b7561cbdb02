// amx: the processor -> whether its matrix unit (AMX) can be used.
#include "core/support/amx.h"

#include <cpuid.h>

namespace expgraph {

Amx amx() {
  constexpr unsigned kFeatures = 7, kTilePalette = 0x1d, kAmxTile = 1u << 24;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(kFeatures, 0, &a, &b, &c, &d) || !(d & kAmxTile)) return Amx::none;
  // Palette 1 tells how many tiles there are; a machine that hides it cannot configure any.
  const bool palette = __get_cpuid_count(kTilePalette, 1, &a, &b, &c, &d) && (b >> 16) != 0;
  return palette ? Amx::usable : Amx::hidden;
}

}  // namespace expgraph
