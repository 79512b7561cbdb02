// bf16: loops over bf16 (its bits in uint16_t), for the instruction set of this machine. Serial.
// What is computed is computed in f32, and rounded once to nearest even.
#pragma once

#include <cstdint>

namespace expgraph::onednn {

void widen(const uint16_t* from, float* to, int64_t count);
void narrow(const float* from, uint16_t* to, int64_t count);

/// Rows of `columns`, a pair of rows after the other -> columns of pairs: to[p * columns + c] holds
/// from[2p][c] in its lower half and from[2p + 1][c] in its upper one.
void interleave_rows(const uint16_t* from, int64_t pairs, int64_t columns, uint32_t* to);

/// to[c * to_row + r] = from[r * columns + c]
void transpose(const uint32_t* from, int64_t rows, int64_t columns, uint32_t* to, int64_t to_row);

/// A block of sums of products of two matrices: sum over k of A[i, k] B[k, j], 32 rows by 32
/// columns. k goes in steps of 32; elements k and k + 1 of a column of B lie side by side.
struct BlockProduct {
  static constexpr int kSide = 32, kDepth = 32;
  const uint16_t* a;  ///< step s reads kDepth elements at a + a_at[s] of each row
  int64_t a_row;      ///< elements from one row to the next
  const int32_t* a_at;
  const uint32_t* b;  ///< step s reads kDepth / 2 rows of kSide pairs at b + s * b_step
  int64_t b_row, b_step;
  int64_t steps;
  float* sums;  ///< [kSide, kSide], sum_row elements from row to row
  int64_t sum_row;
  bool add;  ///< to what is there
};

/// Whether this machine has a unit for blocks that is worth it: AMX, unless EXPGRAPH_AMX is "off".
/// (AVX-512's VDPBF16PS gave DavidNet a quarter of what floats give by Winograd's algorithm.)
bool multiplies_blocks();

/// The unit, ready on the calling thread as long as this lives; where multiplies_blocks().
class BlockUnit {
 public:
  BlockUnit();
  ~BlockUnit();
  BlockUnit(const BlockUnit&) = delete;
  BlockUnit& operator=(const BlockUnit&) = delete;
  void multiply(const BlockProduct& product) const;
};

/// Where the rows of a block of sums go.
struct BlockRows {
  uint16_t* const* to;  ///< a row's first element each; null: nowhere
  int64_t rows, columns;
  const float* bias = nullptr;  ///< a column each; null: none
  // Sums over the rows of what was put, less shift, and of its square, a column each; null: none.
  const float* shift = nullptr;
  double* sum = nullptr;
  double* squares = nullptr;
};

/// Rounds rows of sums, kSide apart.
void put_block(const float* sums, const BlockRows& rows);

}  // namespace expgraph::onednn
