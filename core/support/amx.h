// amx: the processor -> whether its matrix unit (AMX) can be used.
#pragma once

namespace expgraph {

enum class Amx {
  none,
  hidden,  ///< reported, but the tile palette is hidden: who trusts the flag dies with SIGILL
  usable,
};

/// As CPUID says; some virtual machines report the unit and hide its palette leaf.
Amx amx();

}  // namespace expgraph
