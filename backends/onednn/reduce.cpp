// reduce: channel_sum, in double over short float runs.
#include "backends/onednn/kernels.h"
#include "backends/onednn/tiles.h"

namespace expgraph::onednn {

namespace {

Made make_channel_sum(const MakerContext& context) {
  const Map map(context.input(0));
  const TileSpace space(map);
  const Partials partials(map.c, 1, context.threads);
  return {{[map, space, partials, threads = context.threads](const KernelArgs& args) {
             const float* x = args.inputs[0].as<float>();
             float* y = args.outputs[0].as<float>();
             Partials sums = partials;
             sums.place(args.scratch);
             space.for_each(threads, [&](int thread, int64_t pixel, int64_t count) {
               add_statistics(x + pixel * map.c, count, map.c, nullptr, sums.of(thread, 0),
                              nullptr);
             });
             for (int64_t c = 0; c < map.c; ++c) y[c] = static_cast<float>(sums.total(0, c));
           },
           partials.bytes()},
          {map_layout(context.input(0))},
          {Layout::dense}};
}

constexpr Maker kMakers[] = {
    {"channel_sum", make_channel_sum},
};

}  // namespace

std::span<const Maker> reduce_makers() { return kMakers; }

}  // namespace expgraph::onednn
