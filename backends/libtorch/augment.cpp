// augment: views of images, their average, and mixtures of images.
#include "backends/libtorch/kernels.h"

namespace expgraph::libtorch {

namespace {

/// Places 0 .. size - 1 moved by `shift`, mirrored about the first and the last; in falling order
/// where `turned`.
at::Tensor places(int64_t size, int64_t shift, bool turned, at::Device device) {
  at::Tensor at = at::arange(size, at::dtype(at::kLong));
  if (turned) at = size - 1 - at;
  at = (at + shift).abs();
  return (size - 1 - (size - 1 - at).abs()).to(device);
}

Kernel make_views(const MakerContext& context) {
  const Attributes& attributes = context.node.attributes;
  const Shape& x = context.input(0).shape;
  const auto shift = [&](std::string_view name, size_t view) {
    const std::vector<int64_t>& shifts = attributes.integers(name);
    return shifts.empty() ? 0 : shifts[view];
  };
  std::vector<std::pair<at::Tensor, at::Tensor>> views;
  for (const int64_t mirrored : attributes.integers("mirrored")) {
    const size_t v = views.size();
    views.emplace_back(places(x[2], shift("rows", v), false, context.device),
                       places(x[3], shift("columns", v), mirrored == 1, context.device));
  }
  return [views](std::span<const at::Tensor> in) -> Tensors {
    Tensors made;
    for (const auto& [rows, columns] : views)
      made.push_back(in[0].index_select(2, rows).index_select(3, columns));
    return {at::cat(made)};
  };
}

Kernel make_average_views(const MakerContext& context) {
  const std::vector<double> weights = context.node.attributes.reals("weights");
  return [weights](std::span<const at::Tensor> in) -> Tensors {
    const Tensors views = in[0].chunk(static_cast<int64_t>(weights.size()));
    at::Tensor sum = views[0] * weights[0];
    for (size_t v = 1; v < views.size(); ++v) sum.add_(views[v], weights[v]);
    return {std::move(sum)};
  };
}

/// The next of each sample, of the last the first.
at::Tensor next(const at::Tensor& samples) { return samples.roll(-1, 0); }

Kernel make_mixup(const MakerContext&) {
  return [](std::span<const at::Tensor> in) -> Tensors {
    const at::Tensor part = in[2].squeeze(1);
    const at::Tensor weight = (part.to(at::kFloat) / 65536).view({-1, 1, 1, 1});
    return {in[0] * weight + next(in[0]) * (1 - weight), next(in[1]), part};
  };
}

constexpr Maker kMakers[] = {
    {"views", make_views},
    {"average_views", make_average_views},
    {"mixup", make_mixup},
};

}  // namespace

std::span<const Maker> augment_makers() { return kMakers; }

}  // namespace expgraph::libtorch
