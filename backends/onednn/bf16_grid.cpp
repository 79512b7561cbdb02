// bf16_grid: see bf16_grid.h.
#include "backends/onednn/bf16_grid.h"

#include <algorithm>

namespace expgraph::onednn {

namespace {

constexpr int64_t kBlock = 32;

int64_t round_up(int64_t count, int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

/// Places that windows over `inputs` need between one row, or image, and the next: their padding,
/// which is that of both.
int64_t gap(int64_t inputs, int64_t windows, int64_t side, int64_t pad, int64_t stride) {
  const int64_t after = (windows - 1) * stride + side - pad - inputs;
  return std::max(pad, after);
}

void copy_pixel(const uint16_t* from, int64_t channels, uint16_t* to, int64_t step) {
  std::copy_n(from, channels, to);
  std::fill_n(to + channels, step - channels, uint16_t{0});
}

}  // namespace

Grid::Grid(const Map& in, int64_t rows, int64_t columns, const GridWindow& window,
           int64_t place_bytes, int64_t bytes, int threads)
    : in_(in), window_rows_(rows), window_columns_(columns), window_(window) {
  // At least a place for each window: with much padding there are more of them than inputs.
  const auto extent = [](int64_t inputs, int64_t windows, int64_t side, int64_t pad,
                         int64_t stride) {
    const int64_t places = inputs + gap(inputs, windows, side, pad, stride);
    return std::max(windows, (places + stride - 1) / stride);
  };
  width_ = extent(in.w, columns, window.columns, window.pad_column, window.stride_column);
  image_rows_ = extent(in.h, rows, window.rows, window.pad_row, window.stride_row);
  const int64_t row_bytes = width_ * place_bytes * parts();
  const int64_t fits = bytes / (image_rows_ * row_bytes);
  if (fits > 0) {
    const int64_t share = (in.n + threads - 1) / threads;
    const int64_t slabs = (share + fits - 1) / fits;
    images_ = (share + slabs - 1) / slabs;
    rows_ = images_ * image_rows_;
    slabs_ = (in.n + images_ - 1) / images_;
  } else {
    rows_ = std::clamp<int64_t>(bytes / row_bytes, 1, rows);
    bands_ = (rows + rows_ - 1) / rows_;
    slabs_ = in.n * bands_;
  }
}

int64_t Grid::windows() const { return round_up(rows_ * width_, kBlock); }

int64_t Grid::part_places() const {
  const int64_t last = (window_.rows - 1) / window_.stride_row * width_ +
                       (window_.columns - 1) / window_.stride_column;
  return round_up(windows() + last + 1, kBlock);
}

int64_t Grid::distance(int64_t row, int64_t column) const {
  const int64_t part =
      row % window_.stride_row * window_.stride_column + column % window_.stride_column;
  return part * part_places() + row / window_.stride_row * width_ + column / window_.stride_column;
}

/// The image of a row of windows and its row there, which may be of none.
Grid::Row Grid::row_of(int64_t slab, int64_t row) const {
  if (images_ == 0) return {slab / bands_, slab % bands_ * rows_ + row};
  return {slab * images_ + row / image_rows_, row % image_rows_};
}

void Grid::copy_inputs(int64_t slab, const uint16_t* map, uint16_t* grid, int64_t step) const {
  const int64_t sh = window_.stride_row, sw = window_.stride_column, pad = window_.pad_column;
  for (int64_t part = 0; part < parts(); ++part, grid += part_places() * step) {
    const int64_t first_row = part / sw, first_column = part % sw;
    for (int64_t row = 0; row < part_rows(); ++row) {
      // Padding above an image is below the one before it.
      const int64_t away = row * sh + first_row - window_.pad_row;
      const int64_t below =
          images_ == 0 ? away : away - away / (image_rows_ * sh) * image_rows_ * sh;
      const int64_t image =
          images_ == 0 ? slab / bands_ : slab * images_ + away / (image_rows_ * sh);
      const int64_t y = images_ == 0 ? slab % bands_ * rows_ * sh + away : below;
      const bool within = images_ == 0 || (away >= 0 && away < images_ * image_rows_ * sh);
      uint16_t* to = grid + row * width_ * step;
      if (!within || y < 0 || y >= in_.h || image >= in_.n) {
        std::fill_n(to, width_ * step, uint16_t{0});
        continue;
      }
      const uint16_t* from = map + (image * in_.h + y) * in_.w * in_.c;
      if (sw == 1 && step == in_.c) {
        std::fill_n(to, pad * step, uint16_t{0});
        std::copy_n(from, in_.w * step, to + pad * step);
        std::fill_n(to + (pad + in_.w) * step, (width_ - pad - in_.w) * step, uint16_t{0});
        continue;
      }
      for (int64_t k = 0; k < width_; ++k, to += step) {
        const int64_t x = k * sw + first_column - pad;
        if (x >= 0 && x < in_.w)
          copy_pixel(from + x * in_.c, in_.c, to, step);
        else
          std::fill_n(to, step, uint16_t{0});
      }
    }
    const int64_t written = part_rows() * width_;
    std::fill_n(grid + written * step, (part_places() - written) * step, uint16_t{0});
  }
}

void Grid::copy_outputs(int64_t slab, const Map& map, const uint16_t* from, uint16_t* to,
                        int64_t step) const {
  for (int64_t row = 0; row < rows_; ++row) {
    const Row at = row_of(slab, row);
    const int64_t pixels = at.row < map.h && at.image < map.n ? map.w : 0;
    const uint16_t* line = from + (at.image * map.h + at.row) * map.w * map.c;
    for (int64_t k = 0; k < pixels; ++k, to += step) copy_pixel(line + k * map.c, map.c, to, step);
    std::fill_n(to, (width_ - pixels) * step, uint16_t{0});
    to += (width_ - pixels) * step;
  }
  std::fill_n(to, (windows() - rows_ * width_) * step, uint16_t{0});
}

void Grid::find_outputs(int64_t slab, const GridOutputs& outputs, int64_t* pixels) const {
  const Map& map = outputs.map;
  for (int64_t row = 0; row < rows_; ++row, pixels += width_) {
    const Row at = row_of(slab, row);
    const int64_t y = outputs.row + at.row * outputs.row_step;
    const bool is_row = at.row < window_rows_ && at.image < map.n && y < map.h;
    for (int64_t k = 0; k < width_; ++k) {
      const int64_t x = outputs.column + k * outputs.column_step;
      pixels[k] = is_row && k < window_columns_ && x < map.w ? (at.image * map.h + y) * map.w + x
                                                             : int64_t{-1};
    }
  }
  std::fill_n(pixels, windows() - rows_ * width_, int64_t{-1});
}

}  // namespace expgraph::onednn
