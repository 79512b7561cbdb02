// update: flat parameters, gradients, momenta and averages of a whole net -> their next values.
#include "backends/libtorch/cuda/device.cuh"

namespace expgraph::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWide = 4;
constexpr int64_t kMostBlocks = 4096;

template <int V>
__global__ void __launch_bounds__(kThreads) update_kernel(Update update, int64_t begin) {
  const float lr = *update.lr;
  const bool moves = update.average != nullptr && *update.when != 0;
  const bool chosen = update.last != nullptr && *update.last != 0;
  const float part = moves ? *update.when * (1 - *update.decay) : 0;
  const int64_t step = int64_t{gridDim.x} * kThreads * V;
  // In 32 bits: with it in 64, nvcc 13 splits the stores of a pack.
  const unsigned thread = blockIdx.x * kThreads + threadIdx.x;
  int64_t i = begin + int64_t{thread} * V;
  for (; i + V <= update.count; i += step) {
    Pack<float, V> p = pack<V>(update.parameter + i);
    const Pack<float, V> gradient = pack<V>(update.gradient + i);
    Pack<float, V> m{};
    if (update.momentum != nullptr) m = pack<V>(update.momentum + i);
    for (int v = 0; v < V; ++v) {
      const float g = fmaf(update.weight_decay, p.at[v], gradient.at[v]);
      m.at[v] = fmaf(update.momentum_factor, m.at[v], g);
      const float move = update.nesterov ? fmaf(update.momentum_factor, m.at[v], g) : m.at[v];
      p.at[v] = fmaf(-lr, move, p.at[v]);
    }
    if (moves || chosen) {
      Pack<float, V> average = pack<V>(update.average + i);
      if (moves) {
        for (int v = 0; v < V; ++v)
          average.at[v] = fmaf(part, p.at[v] - average.at[v], average.at[v]);
        pack<V>(update.average + i) = average;
      }
      if (chosen) p = average;
    }
    pack<V>(update.new_parameter + i) = p;
    if (update.momentum != nullptr) pack<V>(update.new_momentum + i) = m;
  }
}

LaunchSize over_elements(int64_t count, int vector) {
  const int64_t groups = (count + vector - 1) / vector;
  LaunchSize size;
  size.block = dim3(kThreads);
  size.grid = dim3(static_cast<unsigned>(
      std::clamp<int64_t>((groups + kThreads - 1) / kThreads, 1, kMostBlocks)));
  return size;
}

}  // namespace

void sgd_update(const Update& update, Stream stream) {
  const void* pointers[] = {update.parameter,     update.gradient,     update.momentum,
                            update.new_parameter, update.new_momentum, update.average};
  const bool wide = std::all_of(std::begin(pointers), std::end(pointers),
                                [](const void* pointer) { return aligned(pointer, 16); });
  const int64_t rest = wide ? update.count / kWide * kWide : 0;  // from here on one by one
  if (rest > 0) {
    launch("sgd_update", update_kernel<kWide>, over_elements(rest, kWide), stream, update,
           int64_t{0});
  }
  if (rest < update.count) {
    launch("sgd_update", update_kernel<1>, over_elements(update.count - rest, 1), stream, update,
           rest);
  }
}

}  // namespace expgraph::cuda
