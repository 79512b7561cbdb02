// conv_pool: a fusion of a convolution and max pooling by 2 x 2 -> one kernel, where tiles of
// Winograd's algorithm hold whole windows: the convolution's map is never written.
#include "backends/onednn/pool.h"
#include "backends/onednn/ports.h"
#include "backends/onednn/winograd.h"

namespace expgraph::onednn {

namespace {

struct ConvPool {
  ConvShape shape;
  WinogradTile tile;
  PooledPorts ports;
};

/// Nothing when the node is something else, or its sizes want other kernels.
std::optional<ConvPool> conv_pool(const MakerContext& context) {
  if (context.node.body == nullptr) return std::nullopt;
  const Graph& body = *context.node.body;
  if (body.nodes().size() != 2) return std::nullopt;
  const Node &conv = body.nodes()[0], &pool = body.nodes()[1];
  const bool is =
      conv.op->name == "conv2d" && pool.op->name == "max_pool" && pool.inputs[0] == conv.outputs[0];
  const Ports ports(context);
  if (!is || ports.output(conv.outputs[0]) >= 0 || ports.output(pool.outputs[0]) < 0)
    return std::nullopt;
  ConvPool result;
  result.shape = conv_shape({body, conv, {}, context.threads});
  const std::optional<WinogradTile> tile = winograd_tile(result.shape);
  const PoolShape windows(pool.attributes, body.type(pool.inputs[0]), body.type(pool.outputs[0]));
  const Window& window = windows.window;
  const bool fits = window.kh == 2 && window.kw == 2 && window.sh == 2 && window.sw == 2 &&
                    !windows.padded() && body.type(pool.outputs[1]).dtype == DType::u8;
  if (!tile || !fits || is_bf16(result.shape) || result.shape.x.dtype != DType::f32)
    return std::nullopt;
  result.tile = *tile;
  result.ports = {.x = ports.input(conv.inputs[0]),
                  .w = ports.input(conv.inputs[1]),
                  .bias = conv.inputs.size() > 2 ? ports.input(conv.inputs[2]) : -1,
                  .y = ports.output(pool.outputs[0]),
                  .index = ports.output(pool.outputs[1]),
                  .pooled = windows.y};
  return result;
}

}  // namespace

bool is_fused_conv(const MakerContext& context) { return conv_pool(context).has_value(); }

std::optional<Made> make_fused_conv(const MakerContext& context) {
  const std::optional<ConvPool> c = conv_pool(context);
  if (!c) return std::nullopt;
  Made made = dense(
      context, winograd_pool_kernel(c->shape, c->tile, c->ports, context.threads, context.leaves));
  made.inputs[static_cast<size_t>(c->ports.x)] = Layout::nhwc;
  for (const int k : {c->ports.y, c->ports.index})
    if (k >= 0) made.outputs[static_cast<size_t>(k)] = Layout::nhwc;
  return made;
}

}  // namespace expgraph::onednn
