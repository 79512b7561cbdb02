// average: averages of states and the choice between two tensors. What stays costs nothing where it
// is in place.
#include <algorithm>

#include "backends/onednn/kernels.h"
#include "backends/onednn/parallel.h"

namespace expgraph::onednn {

namespace {

constexpr int64_t kGrain = 4096;  // elements

void copy(int threads, const TensorView& from, const TensorView& to) {
  if (from.data == to.data) return;
  const float* x = from.as<float>();
  float* y = to.as<float>();
  parallel(threads, to.type.elements(), kGrain,
           [&](int, int64_t i, int64_t end) { std::copy(x + i, x + end, y + i); });
}

Made make_average_update(const MakerContext& context) {
  return dense(context, {[threads = context.threads](const KernelArgs& args) {
                 const double keep = *args.inputs[2].as<float>();
                 const auto part = static_cast<float>(*args.inputs[3].as<float>() * (1 - keep));
                 if (part == 0) return copy(threads, args.inputs[0], args.outputs[0]);
                 const float* average = args.inputs[0].as<float>();
                 const float* x = args.inputs[1].as<float>();
                 float* y = args.outputs[0].as<float>();
                 parallel(threads, args.outputs[0].type.elements(), kGrain,
                          [&](int, int64_t i, int64_t end) {
                            for (; i < end; ++i) y[i] = average[i] + part * (x[i] - average[i]);
                          });
               }});
}

Made make_choose(const MakerContext& context) {
  return dense(context, {[threads = context.threads](const KernelArgs& args) {
                 const bool other = *args.inputs[2].as<float>() != 0;
                 copy(threads, args.inputs[other ? 1 : 0], args.outputs[0]);
               }});
}

constexpr Maker kMakers[] = {
    {"average_update", make_average_update},
    {"choose", make_choose},
};

}  // namespace

std::span<const Maker> average_makers() { return kMakers; }

}  // namespace expgraph::onednn
