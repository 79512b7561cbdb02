// shape: the meaning of flatten, reshape, concat and slice; bytes move, whatever their type.
#include <cstring>

#include "backends/reference/kernels.h"

namespace expgraph::reference {

namespace {

/// Bytes of one step along `axis` and all axes within it.
int64_t row_bytes(const TensorType& type, int64_t axis) {
  int64_t bytes = size_of(type.dtype);
  for (int64_t a = axis; a < type.rank(); ++a) bytes *= type.shape[static_cast<size_t>(a)];
  return bytes;
}

/// Copies `rows` runs of `bytes` bytes.
void copy_rows(const std::byte* from, int64_t from_stride, std::byte* to, int64_t to_stride,
               int64_t rows, int64_t bytes) {
  for (int64_t row = 0; row < rows; ++row)
    std::memcpy(to + row * to_stride, from + row * from_stride, static_cast<size_t>(bytes));
}

void reshape(const Attributes&, const KernelArgs& args) {
  std::memmove(args.outputs[0].data, args.inputs[0].data,
               static_cast<size_t>(args.outputs[0].type.bytes()));
}

void concat(const Attributes& attributes, const KernelArgs& args) {
  const int64_t axis = attributes.integer("axis");
  const TensorType& y = args.outputs[0].type;
  const int64_t y_row = row_bytes(y, axis);
  std::byte* to = args.outputs[0].as<std::byte>();
  for (const TensorView& x : args.inputs) {
    const int64_t x_row = row_bytes(x.type, axis);
    if (x_row > 0) copy_rows(x.as<std::byte>(), x_row, to, y_row, x.type.bytes() / x_row, x_row);
    to += x_row;
  }
}

void slice(const Attributes& attributes, const KernelArgs& args) {
  const int64_t axis = attributes.integer("axis");
  const TensorType& x = args.inputs[0].type;
  const TensorType& y = args.outputs[0].type;
  const int64_t y_row = row_bytes(y, axis);
  if (y_row == 0) return;
  const std::byte* from =
      args.inputs[0].as<std::byte>() + attributes.integer("start") * row_bytes(x, axis + 1);
  copy_rows(from, row_bytes(x, axis), args.outputs[0].as<std::byte>(), y_row, y.bytes() / y_row,
            y_row);
}

constexpr KernelEntry kKernels[] = {
    {"flatten", reshape, reshape},
    {"reshape", reshape, reshape},
    {"concat", concat, concat},
    {"slice", slice, slice},
};

}  // namespace

std::span<const KernelEntry> shape_kernels() { return kKernels; }

}  // namespace expgraph::reference
