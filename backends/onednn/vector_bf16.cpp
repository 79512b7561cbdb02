// vector_bf16: the loops over bf16. An element is the upper half of a float: widening is a shift,
// narrowing adds half of what is cut off and shifts.
#include "backends/onednn/bf16.h"
#include "backends/onednn/vector_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/onednn/vector_bf16.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "backends/onednn/vector_channels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace expgraph::onednn {
namespace HWY_NAMESPACE {

using U = hn::RebindToUnsigned<F>;
using Short = hn::Rebind<uint16_t, F>;
constexpr U u32;
constexpr Short u16;

HWY_INLINE V widened(hn::Vec<U> bits) { return hn::BitCast(f32, hn::ShiftLeft<16>(bits)); }

/// Rounded to nearest even, in the lower half of each lane. A NaN stays one.
HWY_INLINE hn::Vec<U> narrowed(V v) {
  const auto bits = hn::BitCast(u32, v);
  const auto is_odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(u32, 1));
  const auto rounded = hn::Add(bits, hn::Add(is_odd, hn::Set(u32, 0x7fff)));
  const auto quiet = hn::Or(bits, hn::Set(u32, 0x40'0000));
  return hn::ShiftRight<16>(hn::IfThenElse(hn::RebindMask(u32, hn::IsNaN(v)), quiet, rounded));
}

HWY_INLINE hn::Vec<Short> halves(hn::Vec<U> low) {
  return hn::DemoteTo(u16, hn::BitCast(i32, low));  // none is negative or too large
}

int64_t lanes() { return static_cast<int64_t>(hn::Lanes(f32)); }

HWY_INLINE void store_halves(hn::Vec<U> low, uint16_t* to, int64_t count) {
  if (count >= lanes()) return hn::StoreU(halves(low), u16, to);
  HWY_ALIGN uint16_t last[kMostLanes];
  hn::Store(halves(low), u16, last);
  std::memcpy(to, last, static_cast<size_t>(count) * sizeof(uint16_t));
}

HWY_INLINE hn::Vec<U> load_halves(const uint16_t* from, int64_t count) {
  if (count >= lanes()) return hn::PromoteTo(u32, hn::LoadU(u16, from));
  HWY_ALIGN uint16_t last[kMostLanes] = {};
  std::memcpy(last, from, static_cast<size_t>(count) * sizeof(uint16_t));
  return hn::PromoteTo(u32, hn::Load(u16, last));
}

void Widen(const uint16_t* from, float* to, int64_t count) {
  const int64_t step = lanes();
  int64_t i = 0;
  for (; i + step <= count; i += step)
    hn::StoreU(widened(load_halves(from + i, step)), f32, to + i);
  if (i == count) return;
  HWY_ALIGN float last[kMostLanes];
  hn::Store(widened(load_halves(from + i, count - i)), f32, last);
  std::memcpy(to + i, last, static_cast<size_t>(count - i) * sizeof(float));
}

void Narrow(const float* from, uint16_t* to, int64_t count) {
  const int64_t step = lanes();
  int64_t i = 0;
  for (; i + step <= count; i += step)
    store_halves(narrowed(hn::LoadU(f32, from + i)), to + i, step);
  if (i == count) return;
  HWY_ALIGN float last[kMostLanes] = {};
  std::memcpy(last, from + i, static_cast<size_t>(count - i) * sizeof(float));
  store_halves(narrowed(hn::Load(f32, last)), to + i, count - i);
}

void InterleaveRows(const uint16_t* from, int64_t pairs, int64_t columns, uint32_t* to) {
  const int64_t step = lanes();
  for (int64_t p = 0; p < pairs; ++p, from += 2 * columns, to += columns) {
    int64_t c = 0;
    for (; c + step <= columns; c += step) {
      const auto low = load_halves(from + c, step), high = load_halves(from + columns + c, step);
      hn::StoreU(hn::Or(low, hn::ShiftLeft<16>(high)), u32, to + c);
    }
    for (; c < columns; ++c) to[c] = from[c] | uint32_t{from[columns + c]} << 16;
  }
}

void Transpose(const uint32_t* from, int64_t rows, int64_t columns, uint32_t* to, int64_t to_row) {
  const int64_t step = lanes();
  const auto apart = hn::Mul(hn::Iota(i32, 0), hn::Set(i32, static_cast<int32_t>(columns)));
  int64_t r = 0;
  for (; r + step <= rows; r += step)
    for (int64_t c = 0; c < columns; ++c)
      hn::StoreU(hn::GatherIndex(u32, from + r * columns + c, apart), u32, to + c * to_row + r);
  for (; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) to[c * to_row + r] = from[r * columns + c];
}

struct PutRows {
  const float* from;
  const BlockRows& rows;
  template <int kVectors, bool kWhole>
  HWY_INLINE void run(const Channels<kVectors, kWhole>& at) const {
    const V bias = rows.bias ? at.parameter(rows.bias) : hn::Zero(f32);
    const V shift = rows.sum ? at.parameter(rows.shift) : hn::Zero(f32);
    V sum = hn::Zero(f32), squares = hn::Zero(f32);
    for (int64_t r = 0; r < rows.rows; ++r) {
      if (rows.to[r] == nullptr) continue;
      const V y = hn::Add(at.load(from + r * BlockProduct::kSide + at.first), bias);
      const auto low = narrowed(y);
      store_halves(low, rows.to[r] + at.first, static_cast<int64_t>(at.count));
      const V d = hn::Sub(widened(low), shift);
      sum = hn::Add(sum, d);
      squares = hn::MulAdd(d, d, squares);
    }
    if (!rows.sum) return;
    at.accumulate(sum, rows.sum);
    at.accumulate(squares, rows.squares);
  }
};

void PutBlock(const float* sums, const BlockRows& rows) {
  for_channels(rows.columns, PutRows{sums, rows});
}

}  // namespace HWY_NAMESPACE
}  // namespace expgraph::onednn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace expgraph::onednn {

HWY_EXPORT(Widen);
HWY_EXPORT(Narrow);
HWY_EXPORT(InterleaveRows);
HWY_EXPORT(Transpose);
HWY_EXPORT(PutBlock);

void widen(const uint16_t* from, float* to, int64_t count) {
  HWY_DYNAMIC_DISPATCH(Widen)(from, to, count);
}

void narrow(const float* from, uint16_t* to, int64_t count) {
  HWY_DYNAMIC_DISPATCH(Narrow)(from, to, count);
}

void interleave_rows(const uint16_t* from, int64_t pairs, int64_t columns, uint32_t* to) {
  HWY_DYNAMIC_DISPATCH(InterleaveRows)(from, pairs, columns, to);
}

void transpose(const uint32_t* from, int64_t rows, int64_t columns, uint32_t* to, int64_t to_row) {
  HWY_DYNAMIC_DISPATCH(Transpose)(from, rows, columns, to, to_row);
}

void put_block(const float* sums, const BlockRows& rows) {
  HWY_DYNAMIC_DISPATCH(PutBlock)(sums, rows);
}

}  // namespace expgraph::onednn
#endif
