// process: this process, as the kernel sees it -> its memory and its age.
#pragma once

#include <cstdint>

namespace expgraph {

/// Memory that it has now and shares with no file (RssAnon), bytes.
int64_t own_bytes();

/// Of its code and its libraries, what it has in memory now (RssFile), bytes.
int64_t mapped_bytes();

/// Most memory that it has had, of both kinds (VmHWM), bytes.
int64_t peak_resident_bytes();

/// Since it was started, to 10 ms: loading of its libraries included.
double seconds_since_start();

}  // namespace expgraph
