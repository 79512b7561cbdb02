// augment: the meaning of views of images, their average, and mixtures of images.
#include <cstring>

#include "backends/reference/kernels.h"

namespace expgraph::reference {

namespace {

/// Mirrors a position about the first and the last, without repeating them (numpy's "reflect").
int64_t reflect(int64_t i, int64_t size) {
  if (i < 0) return -i;
  return i < size ? i : 2 * (size - 1) - i;
}

int64_t shift_of(const Attributes& attributes, std::string_view name, size_t view) {
  const std::vector<int64_t>& shifts = attributes.integers(name);
  return shifts.empty() ? 0 : shifts[view];
}

void views(const Attributes& attributes, const KernelArgs& args) {
  const Images sizes(args.inputs[0].type);
  const std::vector<int64_t>& mirrored = attributes.integers("mirrored");
  float* y = args.outputs[0].as<float>();
  for (size_t v = 0; v < mirrored.size(); ++v) {
    const int64_t up = shift_of(attributes, "rows", v), left = shift_of(attributes, "columns", v);
    const float* plane = args.inputs[0].as<float>();
    for (int64_t k = 0; k < sizes.n * sizes.c; ++k, plane += sizes.plane()) {
      for (int64_t i = 0; i < sizes.h; ++i) {
        const float* row = plane + reflect(i + up, sizes.h) * sizes.w;
        for (int64_t j = 0; j < sizes.w; ++j) {
          const int64_t at = mirrored[v] == 1 ? sizes.w - 1 - j : j;
          *y++ = row[reflect(at + left, sizes.w)];
        }
      }
    }
  }
}

template <typename T>
void average_views(const Attributes& attributes, const KernelArgs& args) {
  const std::vector<double>& weights = attributes.reals("weights");
  const int64_t count = args.outputs[0].type.elements();
  for (int64_t i = 0; i < count; ++i) {
    double sum = 0;
    for (size_t v = 0; v < weights.size(); ++v)
      sum += weights[v] * args.inputs[0].as<T>()[static_cast<int64_t>(v) * count + i];
    args.outputs[0].as<T>()[i] = static_cast<T>(sum);
  }
}

void mixup(const Attributes&, const KernelArgs& args) {
  const int64_t samples = dim(args.inputs[0], 0);
  const int64_t size = args.inputs[0].type.elements() / samples;
  const float* x = args.inputs[0].as<float>();
  for (int64_t n = 0; n < samples; ++n) {
    const int64_t other = (n + 1) % samples;
    const int32_t part = args.inputs[2].as<int32_t>()[n];
    const float weight = static_cast<float>(part) / 65536;
    if (float* y = args.outputs[0].as<float>())
      for (int64_t i = 0; i < size; ++i)
        y[n * size + i] = weight * x[n * size + i] + (1 - weight) * x[other * size + i];
    if (int32_t* to = args.outputs[1].as<int32_t>()) to[n] = args.inputs[1].as<int32_t>()[other];
    if (int32_t* to = args.outputs[2].as<int32_t>()) to[n] = part;
  }
}

constexpr KernelEntry kKernels[] = {
    {"views", views},
    {"average_views", average_views<float>, average_views<double>},
    {"mixup", mixup},
};

}  // namespace

std::span<const KernelEntry> augment_kernels() { return kKernels; }

}  // namespace expgraph::reference
