// half: the two 16-bit floating point formats as bits, to and from float, rounded to nearest even.
#pragma once

#include <bit>
#include <cstdint>

namespace expgraph {

/// bfloat16: the upper half of a float.
inline float bf16_to_float(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }
inline uint16_t float_to_bf16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if (x != x) return static_cast<uint16_t>(bits >> 16 | 0x40);  // a NaN must not round to Inf
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/// IEEE 754 binary16: 5 bits of exponent, 10 of mantissa.
inline float f16_to_float(uint16_t bits) {
  const uint32_t sign = uint32_t{bits & 0x8000u} << 16, rest = bits & 0x7fffu;
  if (rest >= 0x7c00) return std::bit_cast<float>(sign | 0x7f80'0000 | (rest & 0x3ff) << 13);
  // As a float's bits the value is 2^112 too small, subnormals included.
  const float scaled = std::bit_cast<float>(rest << 13) * 0x1p112f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(scaled));
}
inline uint16_t float_to_f16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const uint32_t sign = bits >> 16 & 0x8000, rest = bits & 0x7fff'ffff;
  if (rest > 0x7f80'0000) return static_cast<uint16_t>(sign | 0x7e00);
  if (rest >= 0x477f'f000) return static_cast<uint16_t>(sign | 0x7c00);  // 65520 and more
  if (rest < 0x3880'0000) {  // below 2^-14: the float adder rounds at 2^-24
    const float rounded = std::bit_cast<float>(rest) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(rounded) - 0x3f00'0000));
  }
  const uint32_t even = rest >> 13 & 1;
  return static_cast<uint16_t>(sign | (rest - 0x3800'0000 + 0xfff + even) >> 13);
}

}  // namespace expgraph
