// reduce: channel_sum, alone or of an activation's gradient, in double over short float runs.
#include "backends/onednn/kernels.h"
#include "backends/onednn/ports.h"
#include "backends/onednn/tiles.h"

namespace expgraph::onednn {

namespace {

/// The sums that add(args, first element, pixels, sums of a thread) makes tile by tile; the first
/// `maps` inputs of the node are alike.
template <typename Add>
Made sum_channels(const MakerContext& context, size_t maps, const Add& add) {
  const Map map(context.input(0));
  const TileSpace space(map);
  const Partials partials(map.c, 1, context.threads);
  Made made = dense(
      context, {[map, space, partials, add, threads = context.threads](const KernelArgs& args) {
                  float* y = args.outputs[0].as<float>();
                  Partials sums = partials;
                  sums.place(args.scratch);
                  space.for_each(threads, [&](int thread, int64_t pixel, int64_t count) {
                    add(args, pixel * map.c, count, sums.of(thread, 0));
                  });
                  for (int64_t c = 0; c < map.c; ++c) y[c] = static_cast<float>(sums.total(0, c));
                },
                partials.bytes()});
  for (size_t k = 0; k < maps; ++k) made.inputs[k] = map_layout(context.input(0));
  return made;
}

Made make_channel_sum(const MakerContext& context) {
  const int64_t channels = Map(context.input(0)).c;
  return sum_channels(
      context, 1, [channels](const KernelArgs& args, int64_t at, int64_t pixels, double* sums) {
        add_statistics(args.inputs[0].as<float>() + at, pixels, channels, nullptr, sums, nullptr);
      });
}

constexpr Maker kMakers[] = {
    {"channel_sum", make_channel_sum},
};

}  // namespace

std::span<const Maker> reduce_makers() { return kMakers; }

std::optional<Made> make_fused_sum(const MakerContext& context) {
  const std::span<const Node> nodes = context.node.body->nodes();
  if (nodes.size() != 2 || nodes[0].op->name != "gelu_backward" ||
      nodes[1].op->name != "channel_sum" || nodes[1].inputs[0] != nodes[0].outputs[0])
    return std::nullopt;
  const Ports ports(context);
  if (ports.output(nodes[0].outputs[0]) >= 0) return std::nullopt;
  const auto dy = static_cast<size_t>(ports.input(nodes[0].inputs[0]));
  const auto x = static_cast<size_t>(ports.input(nodes[0].inputs[1]));
  return sum_channels(context, context.node.inputs.size(),
                      [activation = *activation_of(nodes[0]), channels = Map(context.input(0)).c,
                       dy, x](const KernelArgs& args, int64_t at, int64_t pixels, double* sums) {
                        const Gradient g{.dy = args.inputs[dy].as<float>() + at,
                                         .activation = activation};
                        add_gradient_sums(g, args.inputs[x].as<float>() + at, pixels, channels,
                                          nullptr, sums, nullptr);
                      });
}

}  // namespace expgraph::onednn
