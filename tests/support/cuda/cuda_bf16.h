// cuda_bf16: stands in for CUDA's header on the host: a bfloat16 and its conversions.
#pragma once

#include "core/support/half.h"

struct __nv_bfloat16 {
  uint16_t bits = 0;
};
inline float __bfloat162float(__nv_bfloat16 x) { return expgraph::bf16_to_float(x.bits); }
inline __nv_bfloat16 __float2bfloat16_rn(float x) { return {expgraph::float_to_bf16(x)}; }
