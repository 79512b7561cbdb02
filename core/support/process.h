// process: this process, as the kernel sees it -> its memory and its age.
#pragma once

#include <cstdint>

namespace expgraph {

/// Memory that it has now (VmRSS), bytes.
int64_t resident_bytes();

/// Most memory that it has had (VmHWM), bytes.
int64_t peak_resident_bytes();

/// Since it was started, to 10 ms: loading of its libraries included.
double seconds_since_start();

}  // namespace expgraph
