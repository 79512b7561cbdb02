// amx: the processor -> whether its matrix unit (AMX) can be used.
#pragma once

namespace expgraph {

enum class Amx {
  none,
  hidden,  ///< reported, but the tile palette is hidden: who looks there first dies with SIGILL
  usable,
};

/// As CPUID says; some virtual machines report the unit and hide its palette leaf.
Amx amx();

/// Whether products of bf16 tiles (TDPBF16PS, palette 1) work in this process: the system is asked
/// for the state of the tiles, then one product is tried. True on some machines that hide the
/// palette leaf. The first call is slow (microseconds) and for a moment catches SIGILL and SIGSEGV.
bool amx_multiplies();

/// Makes tiles 0 to 7 of the calling thread 16 rows of 64 bytes; where amx_multiplies().
void configure_amx_tiles();
/// Gives them back, so that the system has less to save of the thread.
void release_amx_tiles();

}  // namespace expgraph
