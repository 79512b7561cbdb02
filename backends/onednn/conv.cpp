// conv: convolution and its gradients as oneDNN primitives. Weights are states, dense; they are
// put into the order that the primitive prefers at each run.
#include "backends/onednn/conv.h"

#include "backends/onednn/bf16.h"
#include "backends/onednn/bf16_conv.h"
#include "backends/onednn/dnnl.h"
#include "backends/onednn/winograd.h"
#include "core/ops/common.h"

namespace expgraph::onednn {

namespace {

using dnnl::memory;

/// Descriptions that the three primitives of one convolution are made from.
struct Descriptions {
  explicit Descriptions(const ConvShape& shape)
      : x(describe(shape.x, Layout::nhwc)),
        y(describe(shape.y, Layout::nhwc)),
        dense_w(describe(shape.w, Layout::dense)),
        w(dense_w.get_dims(), memory::data_type::f32, memory::format_tag::any),
        b({shape.w.shape[0]}, memory::data_type::f32, memory::format_tag::a) {}
  memory::desc x, y, dense_w, w, b;
};

dnnl::convolution_forward::primitive_desc forward(const ConvShape& shape, const Descriptions& d,
                                                  bool bias) {
  return {cpu_engine(),
          dnnl::prop_kind::forward_training,
          dnnl::algorithm::convolution_direct,
          d.x,
          d.w,
          bias ? d.b : memory::desc(),
          d.y,
          shape.stride,
          shape.padding,
          shape.padding,
          primitive_options()};
}

/// A primitive over one map in and one out, with weights between: their order and its scratch.
struct Convolution {
  template <typename Description>
  Convolution(const dnnl::primitive& primitive, const Description& description, int map_in,
              int map_out)
      : call(primitive), in(map_in), out(map_out) {
    call.argument(in, description.query_md(dnnl::query::exec_arg_md, in));
    call.argument(out, description.query_md(dnnl::query::exec_arg_md, out));
    call.argument(DNNL_ARG_SCRATCHPAD, description.scratchpad_desc());
    scratchpad_at = scratch.add(static_cast<int64_t>(description.scratchpad_desc().get_size()));
  }

  Call call;
  int in, out;
  ScratchPlan scratch;
  int64_t scratchpad_at = 0, weights_at = 0, reorder_at = 0;
  std::optional<Reorder> reorder;

  void order_weights(const memory::desc& from, const memory::desc& to, const memory::desc& own) {
    if (from == to) return;
    reorder.emplace(from, to);
    weights_at = scratch.add(static_cast<int64_t>(own.get_size()));
    reorder_at = scratch.add(reorder->scratch_bytes());
  }

  /// The weights as the primitive reads them.
  const void* ordered(const void* w, std::byte* bytes) {
    if (!reorder) return w;
    reorder->run(w, bytes + weights_at, bytes + reorder_at);
    return bytes + weights_at;
  }
};

Kernel forward_kernel(const ConvShape& shape, bool bias) {
  const Descriptions d(shape);
  const auto description = forward(shape, d, bias);
  const auto c = std::make_shared<Convolution>(dnnl::convolution_forward(description), description,
                                               DNNL_ARG_SRC, DNNL_ARG_DST);
  c->call.argument(DNNL_ARG_WEIGHTS, description.weights_desc());
  if (bias) c->call.argument(DNNL_ARG_BIAS, d.b);
  c->order_weights(d.dense_w, description.weights_desc(), description.weights_desc());
  return {[c, bias](const KernelArgs& args) {
            c->call.bind(DNNL_ARG_WEIGHTS, c->ordered(args.inputs[1].data, args.scratch));
            if (bias) c->call.bind(DNNL_ARG_BIAS, args.inputs[2].data);
            c->call.bind(c->in, args.inputs[0].data);
            c->call.bind(c->out, args.outputs[0].data);
            c->call.bind(DNNL_ARG_SCRATCHPAD, args.scratch + c->scratchpad_at);
            c->call.run();
          },
          c->scratch.bytes()};
}

Kernel backward_data_kernel(const ConvShape& shape) {
  const Descriptions d(shape);
  const dnnl::convolution_backward_data::primitive_desc description(
      cpu_engine(), dnnl::algorithm::convolution_direct, d.x, d.w, d.y, shape.stride, shape.padding,
      shape.padding, forward(shape, d, false), primitive_options());
  const auto c = std::make_shared<Convolution>(dnnl::convolution_backward_data(description),
                                               description, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC);
  c->call.argument(DNNL_ARG_WEIGHTS, description.weights_desc());
  c->order_weights(d.dense_w, description.weights_desc(), description.weights_desc());
  return {[c](const KernelArgs& args) {
            c->call.bind(DNNL_ARG_WEIGHTS, c->ordered(args.inputs[1].data, args.scratch));
            c->call.bind(c->in, args.inputs[0].data);
            c->call.bind(c->out, args.outputs[0].data);
            c->call.bind(DNNL_ARG_SCRATCHPAD, args.scratch + c->scratchpad_at);
            c->call.run();
          },
          c->scratch.bytes()};
}

Kernel backward_weights_kernel(const ConvShape& shape) {
  const Descriptions d(shape);
  const dnnl::convolution_backward_weights::primitive_desc description(
      cpu_engine(), dnnl::algorithm::convolution_direct, d.x, d.w, d.y, shape.stride, shape.padding,
      shape.padding, forward(shape, d, false), primitive_options());
  const auto c = std::make_shared<Convolution>(dnnl::convolution_backward_weights(description),
                                               description, DNNL_ARG_DIFF_DST, DNNL_ARG_SRC);
  c->call.argument(DNNL_ARG_DIFF_WEIGHTS, description.diff_weights_desc());
  c->order_weights(description.diff_weights_desc(), d.dense_w, description.diff_weights_desc());
  return {[c](const KernelArgs& args) {
            void* dw = args.outputs[0].data;
            c->call.bind(DNNL_ARG_DIFF_WEIGHTS, c->reorder ? args.scratch + c->weights_at : dw);
            c->call.bind(c->in, args.inputs[0].data);
            c->call.bind(c->out, args.inputs[1].data);
            c->call.bind(DNNL_ARG_SCRATCHPAD, args.scratch + c->scratchpad_at);
            c->call.run();
            if (c->reorder)
              c->reorder->run(args.scratch + c->weights_at, dw, args.scratch + c->reorder_at);
          },
          c->scratch.bytes()};
}

}  // namespace

ConvShape conv_shape(const MakerContext& context) {
  const Node& node = context.node;
  const TensorType &in0 = context.input(0), &in1 = context.input(1), &out = context.output();
  ConvShape shape;
  if (node.op->name == "conv2d") {
    shape = {ConvDirection::forward, in0, in1, out};
  } else if (node.op->name == "conv2d_backward_data") {
    shape = {ConvDirection::backward_data, out, in1, in0};
  } else {
    shape = {ConvDirection::backward_weights, in1, out, in0};
  }
  shape.stride = to_list(pair(node.attributes, "stride"));
  shape.padding = to_list(pair(node.attributes, "padding"));
  return shape;
}

bool is_bf16(const ConvShape& shape) { return shape.x.dtype == DType::bf16 && multiplies_blocks(); }

bool gathers_moments(const ConvShape& shape) {
  return shape.direction == ConvDirection::forward &&
         (is_bf16(shape) || winograd_tile(shape).has_value());
}

Kernel conv_kernel(const ConvShape& shape, bool bias, int threads,
                   std::shared_ptr<Moments> moments) {
  if (is_bf16(shape)) return bf16_conv_kernel(shape, bias, threads, std::move(moments));
  if (const std::optional<WinogradTile> tile = winograd_tile(shape))
    return winograd_kernel(shape, *tile, bias, threads, std::move(moments));
  switch (shape.direction) {
    case ConvDirection::forward:
      return forward_kernel(shape, bias);
    case ConvDirection::backward_data:
      return backward_data_kernel(shape);
    case ConvDirection::backward_weights:
      return backward_weights_kernel(shape);
  }
  check_failed("a direction of convolution", __FILE__, __LINE__);
}

namespace {

Made make_conv(const MakerContext& context) {
  const ConvShape shape = conv_shape(context);
  const Node& node = context.node;
  const bool weights = shape.direction == ConvDirection::backward_weights;
  const bool bias =
      shape.direction == ConvDirection::forward && node.inputs.size() > 2 && node.inputs[2].valid();
  Made made = dense(context, conv_kernel(shape, bias, context.threads, context.leaves));
  made.inputs[0] = Layout::nhwc;
  (weights ? made.inputs[1] : made.outputs[0]) = Layout::nhwc;
  made.typed = is_bf16(shape);
  return made;
}

constexpr Maker kMakers[] = {
    {"conv2d", make_conv},
    {"conv2d_backward_data", make_conv},
    {"conv2d_backward_weights", make_conv},
};

}  // namespace

std::span<const Maker> conv_makers() { return kMakers; }

}  // namespace expgraph::onednn
