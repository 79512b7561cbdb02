// augment: views of images, their average, and mixtures of images, over maps as they lie: channels
// last.
#include <cstring>

#include "backends/onednn/kernels.h"
#include "backends/onednn/parallel.h"

namespace expgraph::onednn {

namespace {

/// Mirrors a position about the first and the last, without repeating them (numpy's "reflect").
int64_t reflect(int64_t i, int64_t size) {
  if (i < 0) return -i;
  return i < size ? i : 2 * (size - 1) - i;
}

struct View {
  int64_t up = 0, left = 0;
  bool mirrored = false;
};

std::vector<View> views_of(const Attributes& attributes) {
  std::vector<View> views;
  for (const int64_t mirrored : attributes.integers("mirrored")) {
    const auto shift = [&](std::string_view name) {
      const std::vector<int64_t>& shifts = attributes.integers(name);
      return shifts.empty() ? 0 : shifts[views.size()];
    };
    views.push_back({shift("rows"), shift("columns"), mirrored == 1});
  }
  return views;
}

/// y, an image [H, W, C], is that view of x.
void view_image(const Map& map, const View& view, const float* x, float* y) {
  const auto pixel = static_cast<size_t>(map.c) * sizeof(float);
  for (int64_t i = 0; i < map.h; ++i) {
    const float* row = x + reflect(i + view.up, map.h) * map.w * map.c;
    for (int64_t j = 0; j < map.w; ++j) {
      const int64_t at = reflect((view.mirrored ? map.w - 1 - j : j) + view.left, map.w);
      std::memcpy(y + (i * map.w + j) * map.c, row + at * map.c, pixel);
    }
  }
}

Made make_views(const MakerContext& context) {
  const Map map(context.input(0));
  const auto run = [map, views = views_of(context.node.attributes),
                    threads = context.threads](const KernelArgs& args) {
    const int64_t image = map.plane() * map.c;
    const int64_t count = static_cast<int64_t>(views.size()) * map.n;
    parallel(threads, count, 1, [&](int, int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k)
        view_image(map, views[static_cast<size_t>(k / map.n)],
                   args.inputs[0].as<float>() + k % map.n * image,
                   args.outputs[0].as<float>() + k * image);
    });
  };
  return {{run}, {map_layout(context.input(0))}, {map_layout(context.output())}};
}

Made make_average_views(const MakerContext& context) {
  return dense(context,
               {[weights = context.node.attributes.reals("weights")](const KernelArgs& args) {
                 const int64_t count = args.outputs[0].type.elements();
                 const float* x = args.inputs[0].as<float>();
                 for (int64_t i = 0; i < count; ++i) {
                   double sum = 0;
                   for (size_t v = 0; v < weights.size(); ++v)
                     sum += weights[v] * x[static_cast<int64_t>(v) * count + i];
                   args.outputs[0].as<float>()[i] = static_cast<float>(sum);
                 }
               }});
}

Made make_mixup(const MakerContext& context) {
  const int64_t samples = context.input(0).shape[0];
  const int64_t size = context.input(0).elements() / samples;
  const auto run = [samples, size, threads = context.threads](const KernelArgs& args) {
    parallel(threads, samples, 1, [&](int, int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        const int64_t other = (n + 1) % samples;
        const int32_t part = args.inputs[2].as<int32_t>()[n];
        const float weight = static_cast<float>(part) / 65536;
        const float* x = args.inputs[0].as<float>();
        if (float* y = args.outputs[0].as<float>())
          for (int64_t i = 0; i < size; ++i)
            y[n * size + i] = weight * x[n * size + i] + (1 - weight) * x[other * size + i];
        if (int32_t* to = args.outputs[1].as<int32_t>())
          to[n] = args.inputs[1].as<int32_t>()[other];
        if (int32_t* to = args.outputs[2].as<int32_t>()) to[n] = part;
      }
    });
  };
  Made made = dense(context, {run});
  made.inputs[0] = map_layout(context.input(0));
  made.outputs[0] = map_layout(context.output());
  return made;
}

constexpr Maker kMakers[] = {
    {"views", make_views},
    {"average_views", make_average_views},
    {"mixup", make_mixup},
};

}  // namespace

std::span<const Maker> augment_makers() { return kMakers; }

}  // namespace expgraph::onednn
