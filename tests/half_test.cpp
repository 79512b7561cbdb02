// half_test: conversions of the 16-bit formats are exact one way and round to nearest even the
// other.
#include "core/support/half.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

using namespace expgraph;

namespace {

struct Format {
  float (*to_float)(uint16_t);
  uint16_t (*from_float)(float);
  uint16_t infinity;
};
constexpr Format kFormats[] = {{f16_to_float, float_to_f16, 0x7c00},
                               {bf16_to_float, float_to_bf16, 0x7f80}};

/// The nearest of all finite values and the first that is none, by halving; of two the even one.
uint16_t nearest(const Format& format, float x) {
  uint16_t low = 0, high = format.infinity;
  const double size = std::abs(double{x});
  while (high - low > 1) {
    const auto middle = static_cast<uint16_t>((low + high) / 2);
    (format.to_float(middle) <= size ? low : high) = middle;
  }
  const double below = format.to_float(low);
  // What infinity stands for is as far above the largest value as that is above the one below it.
  const double above = high < format.infinity
                           ? double{format.to_float(high)}
                           : 2 * below - format.to_float(static_cast<uint16_t>(low - 1));
  const bool up = size - below > above - size || (size - below == above - size && low % 2 == 1);
  return static_cast<uint16_t>((up ? high : low) | (std::signbit(x) ? 0x8000 : 0));
}

}  // namespace

TEST_CASE("every 16-bit number keeps its bits through float") {
  for (const Format& format : kFormats) {
    int wrong = 0;
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
      const float x = format.to_float(static_cast<uint16_t>(bits));
      const bool is_nan = (bits & 0x7fff) > format.infinity;
      wrong += std::isnan(x) != is_nan;
      if (is_nan) {
        wrong += !std::isnan(format.to_float(format.from_float(x)));
      } else {
        wrong += format.from_float(x) != bits;
      }
    }
    CHECK(wrong == 0);
  }
  CHECK(f16_to_float(0x3c00) == 1);
  CHECK(f16_to_float(0x0001) == 0x1p-24f);
  CHECK(f16_to_float(0x7bff) == 65504);
  CHECK(bf16_to_float(0x3f80) == 1);
}

TEST_CASE("floats round to the nearest, of two to the even one") {
  std::mt19937 random(3);
  for (const Format& format : kFormats) {
    int wrong = 0;
    for (int k = 0; k < 200'000; ++k) {
      const auto near = static_cast<uint16_t>(random() % format.infinity);
      float x = format.to_float(near);
      const float next = format.to_float(static_cast<uint16_t>(near + 1));
      const int part = static_cast<int>(random() % 9);  // 4 of 8: half way
      if (std::isfinite(next)) x += static_cast<float>(part) / 8 * (next - x);
      if (random() % 2 == 0) x = -x;
      wrong += format.from_float(x) != nearest(format, x);
    }
    CHECK(wrong == 0);
  }
  CHECK(float_to_f16(65519.9f) == 0x7bff);
  CHECK(float_to_f16(65520.0f) == 0x7c00);
  CHECK(float_to_f16(0x1p-25f) == 0);
  CHECK(float_to_f16(0x1.01p-25f) == 1);
  CHECK(float_to_bf16(0x1.fffp127f) == 0x7f80);
}
