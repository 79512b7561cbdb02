// vector_targets: the instruction sets that the vector loops are compiled for: AVX-512, AVX2 and
// the baseline. To be included before Highway's headers.
#pragma once

#include <hwy/detect_targets.h>

#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
