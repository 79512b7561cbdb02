// cuda_fp16: stands in for CUDA's header on the host: a half and its conversions.
#pragma once

#include "core/support/half.h"

struct __half {
  uint16_t bits = 0;
};
inline float __half2float(__half x) { return expgraph::f16_to_float(x.bits); }
inline __half __float2half_rn(float x) { return {expgraph::float_to_f16(x)}; }
