// bf16_grid: some rows of a map, or some images, copied into a grid whose rows share their padding:
// (row, column) of a window then is a fixed distance from its first place, wherever the window is,
// and windows after each other lie after each other.
#pragma once

#include <cstdint>

#include "backends/onednn/layout.h"

namespace expgraph::onednn {

/// Windows of `rows` x `columns` places over a map, the first one `pad` places before its corner.
struct GridWindow {
  int64_t rows, columns, pad_row, pad_column;
  int64_t stride_row = 1, stride_column = 1;
};

/// Where the results of windows go: window (i, j) of an image to the pixel
/// (row + i * row_step, column + j * column_step) of a map, if it has one.
struct GridOutputs {
  Map map;
  int64_t row = 0, column = 0, row_step = 1, column_step = 1;
};

/// A map cut into slabs: some whole images, or some rows of windows of one. With strides each
/// combination of a row and a column modulo the stride is a part of the grid of its own.
class Grid {
 public:
  /// `rows` x `columns` windows in each image. `place_bytes`: what one place takes in all that is
  /// made of the grid; a slab takes about `bytes`.
  Grid(const Map& in, int64_t rows, int64_t columns, const GridWindow& window, int64_t place_bytes,
       int64_t bytes, int threads);

  int64_t slabs() const { return slabs_; }
  /// Places where a window may begin, in whole blocks of 32; not all are windows.
  int64_t windows() const;
  /// Places of the grid, a multiple of 32.
  int64_t places() const { return parts() * part_places(); }
  /// From a window's first place to (row, column) of it.
  int64_t distance(int64_t row, int64_t column) const;

  /// Copies the inputs of a slab; a place is `step` elements. All else is zero.
  void copy_inputs(int64_t slab, const uint16_t* map, uint16_t* grid, int64_t step) const;
  /// Copies a map with a pixel a window to the windows() places of these. All else is zero.
  void copy_outputs(int64_t slab, const Map& map, const uint16_t* from, uint16_t* to,
                    int64_t step) const;
  /// The pixel of the map for each of windows(); -1 where there is none.
  void find_outputs(int64_t slab, const GridOutputs& outputs, int64_t* pixels) const;

 private:
  struct Row {
    int64_t image, row;
  };
  Row row_of(int64_t slab, int64_t row) const;
  int64_t parts() const { return window_.stride_row * window_.stride_column; }
  int64_t part_rows() const { return rows_ + (window_.rows - 1) / window_.stride_row; }
  int64_t part_places() const;

  Map in_;
  int64_t window_rows_, window_columns_;  // of an image
  GridWindow window_;
  int64_t width_;       // windows from one row of the grid to the next
  int64_t image_rows_;  // rows of windows from one image to the next
  int64_t images_ = 0;  // of a slab; 0: bands of one
  int64_t rows_ = 0;    // rows of windows of a slab
  int64_t bands_ = 1;   // of an image
  int64_t slabs_ = 0;
};

}  // namespace expgraph::onednn
