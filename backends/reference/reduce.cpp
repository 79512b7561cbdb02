// reduce: the meaning of channel_sum. Sums are taken in double.
#include "backends/reference/kernels.h"

namespace expgraph::reference {

namespace {

template <typename T>
void channel_sum(const Attributes&, const KernelArgs& args) {
  const Channels sizes(args.inputs[0].type);
  const T* x = args.inputs[0].as<T>();
  T* y = args.outputs[0].as<T>();
  for (int64_t c = 0; c < sizes.c; ++c) {
    double sum = 0;
    for (int64_t n = 0; n < sizes.n; ++n) {
      const T* row = x + (n * sizes.c + c) * sizes.inner;
      for (int64_t i = 0; i < sizes.inner; ++i) sum += row[i];
    }
    y[c] = static_cast<T>(sum);
  }
}

constexpr KernelEntry kKernels[] = {
    {"channel_sum", channel_sum<float>, channel_sum<double>},
};

}  // namespace

std::span<const KernelEntry> reduce_kernels() { return kKernels; }

}  // namespace expgraph::reference
