// vector_winograd: the transforms of F(2x2, 3x3) and F(4x4, 3x3) over one tile, all channels.
#pragma once

#include "backends/onednn/vector.h"

namespace expgraph::onednn {

/// Which of the two: the outputs on a side of a tile. It reads kernel + outputs - 1 a side.
enum class WinogradTile : uint8_t { f2 = 2, f4 = 4 };

constexpr int outputs_of(WinogradTile tile) { return static_cast<int>(tile); }
constexpr int inputs_of(WinogradTile tile) { return outputs_of(tile) + 2; }
/// Products of a tile for a pair of channels.
constexpr int places_of(WinogradTile tile) { return inputs_of(tile) * inputs_of(tile); }

/// A square of pixels in a map. Bit r * side + c of `inside` says whether pixel (r, c) lies in the
/// map; one that does not reads as 0 and is not written.
template <typename T>
struct PatchOf {
  T* corner = nullptr;  ///< pixel (0, 0), also where it lies outside
  int64_t row = 0;      ///< elements from a pixel to the one below
  uint64_t inside = 0;
};

/// B^T d B of a patch of inputs: place k of `to` is at to + k * step.
void winograd_input(WinogradTile tile, const PatchOf<const float>& patch, int64_t channels,
                    float* to, int64_t step);
/// A d A^T of a patch of dy, likewise.
void winograd_gradient(WinogradTile tile, const PatchOf<const float>& patch, int64_t channels,
                       float* to, int64_t step);
/// What is added a channel over the pixels that are written: (y - shift) and its square.
struct TileSums {
  const float* shift = nullptr;
  double* sum = nullptr;  ///< null: nothing
  double* squares = nullptr;
};
/// A^T m A + bias (which may be null) into a patch of y.
void winograd_output(WinogradTile tile, const float* from, int64_t step, int64_t channels,
                     const float* bias, const PatchOf<float>& patch, const TileSums& sums);

/// The windows of 2 x 2 pixels, two apart, that lie in a tile of y, in a map of such windows.
struct TileWindows {
  float* y = nullptr;         ///< of the tile's first window
  uint8_t* index = nullptr;   ///< likewise; may be null
  int64_t row = 0;            ///< elements from a window to the one below
  int rows = 0, columns = 0;  ///< that lie in the map
};
/// The same, but of each window the largest alone is written, and which of its four pixels is the
/// first that is so large; sums are over these.
void winograd_pooled_output(WinogradTile tile, const float* from, int64_t step, int64_t channels,
                            const float* bias, const TileWindows& windows, const TileSums& sums);

/// G g G^T of `count` 3x3 kernels g, or of those turned by 180 degrees: place k of the kernels is
/// at g + k * g_step, of the results at u + k * u_step.
void winograd_weights(WinogradTile tile, const float* g, int64_t g_step, bool turned, int64_t count,
                      float* u, int64_t u_step);
/// G^T u G, where u is the sum of `parts` arrays, part_step apart.
void winograd_weights_gradient(WinogradTile tile, const float* u, int64_t u_step, int parts,
                               int64_t part_step, int64_t count, float* g, int64_t g_step);

}  // namespace expgraph::onednn
