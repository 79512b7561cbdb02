// shape: flatten, reshape, concat and slice; bytes move, whatever their type.
#include <cstring>

#include "backends/onednn/kernels.h"
#include "backends/onednn/parallel.h"

namespace expgraph::onednn {

namespace {

Made typed(Made made) {
  made.typed = true;
  return made;
}

Made make_reshape(const MakerContext& context) {
  const auto move = [](const KernelArgs& args) {
    if (args.outputs[0].data != args.inputs[0].data)
      std::memmove(args.outputs[0].data, args.inputs[0].data,
                   static_cast<size_t>(args.outputs[0].type.bytes()));
  };
  return typed(dense(context, {move}));
}

/// A tensor as rows along an axis, in the order of its bytes: `row` bytes from one to the next.
struct Rows {
  Rows(const TensorType& type, int64_t axis, bool nhwc) {
    Shape shape = type.shape;
    if (nhwc) {
      shape = {shape[0], shape[2], shape[3], shape[1]};
      axis = axis == 0 ? 0 : axis == 1 ? 3 : axis - 1;
    }
    step = size_of(type.dtype);
    for (size_t a = static_cast<size_t>(axis) + 1; a < shape.size(); ++a) step *= shape[a];
    row = step * shape[static_cast<size_t>(axis)];
    count = row == 0 ? 0 : type.bytes() / row;
  }
  int64_t step = 0;  ///< bytes of one place along the axis
  int64_t row = 0, count = 0;
};

void copy_rows(const std::byte* from, int64_t from_row, std::byte* to, int64_t to_row, int64_t rows,
               int64_t bytes, int threads) {
  parallel(threads, rows, 64, [&](int, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      std::memcpy(to + row * to_row, from + row * from_row, static_cast<size_t>(bytes));
  });
}

/// Channels-last unless every map of the node lies dense.
bool runs_nhwc(const MakerContext& context) {
  return context.output().rank() == 4 &&
         std::ranges::any_of(context.inputs, [](Layout l) { return l != Layout::dense; });
}

Made lying(const MakerContext& context, bool nhwc, Kernel kernel) {
  Made made = typed(dense(context, std::move(kernel)));
  if (nhwc) {
    made.inputs.assign(made.inputs.size(), Layout::nhwc);
    made.outputs[0] = Layout::nhwc;
  }
  return made;
}

Made make_concat(const MakerContext& context) {
  const int64_t axis = context.node.attributes.integer("axis");
  const bool nhwc = runs_nhwc(context);
  return lying(context, nhwc, {[axis, nhwc, threads = context.threads](const KernelArgs& args) {
                 const Rows y(args.outputs[0].type, axis, nhwc);
                 std::byte* to = args.outputs[0].as<std::byte>();
                 for (const TensorView& input : args.inputs) {
                   const Rows x(input.type, axis, nhwc);
                   copy_rows(input.as<std::byte>(), x.row, to, y.row, x.count, x.row, threads);
                   to += x.row;
                 }
               }});
}

Made make_slice(const MakerContext& context) {
  const int64_t axis = context.node.attributes.integer("axis");
  const int64_t start = context.node.attributes.integer("start");
  const bool nhwc = runs_nhwc(context);
  return lying(context, nhwc,
               {[axis, start, nhwc, threads = context.threads](const KernelArgs& args) {
                 const Rows x(args.inputs[0].type, axis, nhwc);
                 const Rows y(args.outputs[0].type, axis, nhwc);
                 copy_rows(args.inputs[0].as<std::byte>() + start * x.step, x.row,
                           args.outputs[0].as<std::byte>(), y.row, y.count, y.row, threads);
               }});
}

constexpr Maker kMakers[] = {
    {"flatten", make_reshape},
    {"reshape", make_reshape},
    {"concat", make_concat},
    {"slice", make_slice},
};

}  // namespace

std::span<const Maker> shape_makers() { return kMakers; }

}  // namespace expgraph::onednn
