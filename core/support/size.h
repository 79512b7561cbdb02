// size: "1.2GB" -> bytes, and back.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/support/diagnostics.h"

namespace expgraph {

/// Bytes of a number and its unit (kB, MB, GB, TB by 1000; KiB, MiB, GiB, TiB by 1024; B), rounded
/// down. Error at `where` for anything else and for less than a byte; `what` names it: "'memory'".
int64_t parse_size(std::string_view text, std::string_view what, const Location& where);

/// The least whole number of MiB (below 10 MiB: KiB) that holds the bytes, as parse_size reads it:
/// "612MiB".
std::string size_text(int64_t bytes);

}  // namespace expgraph
