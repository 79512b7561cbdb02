// loss_scale: gradients divided by the factor, the search for an overflow, and the next factor.
#include <algorithm>
#include <atomic>
#include <cmath>

#include "backends/onednn/kernels.h"
#include "backends/onednn/parallel.h"

namespace expgraph::onednn {

namespace {

constexpr int64_t kGrain = 4096;  // elements

Made make_unscale(const MakerContext& context) {
  return dense(context, {[threads = context.threads](const KernelArgs& args) {
                 const float* x = args.inputs[0].as<float>();
                 const float scale = *args.inputs[1].as<float>();
                 float* y = args.outputs[0].as<float>();
                 parallel(threads, args.outputs[0].type.elements(), kGrain,
                          [&](int, int64_t i, int64_t end) {
                            for (; i < end; ++i) y[i] = x[i] / scale;
                          });
               }});
}

Made make_all_finite(const MakerContext& context) {
  return dense(context, {[threads = context.threads](const KernelArgs& args) {
                 std::atomic<bool> finite = true;
                 for (const TensorView& input : args.inputs) {
                   const float* x = input.as<float>();
                   parallel(
                       threads, input.type.elements(), kGrain, [&](int, int64_t i, int64_t end) {
                         if (!std::all_of(x + i, x + end, [](float v) { return std::isfinite(v); }))
                           finite = false;
                       });
                 }
                 *args.outputs[0].as<float>() = finite ? 1.0f : 0.0f;
               }});
}

Made make_loss_scale_update(const MakerContext& context) {
  const Attributes& attributes = context.node.attributes;
  const auto every = static_cast<float>(attributes.integer("every"));
  const auto largest = static_cast<float>(attributes.real("largest"));
  return dense(context, {[every, largest](const KernelArgs& args) {
                 float scale = *args.inputs[0].as<float>(), steps = *args.inputs[1].as<float>();
                 if (*args.inputs[2].as<float>() == 0) {
                   scale = std::max(scale / 2, 1.0f);
                   steps = 0;
                 } else if (++steps >= every) {
                   scale = std::min(scale * 2, largest);
                   steps = 0;
                 }
                 if (args.outputs[0].data) *args.outputs[0].as<float>() = scale;
                 if (args.outputs[1].data) *args.outputs[1].as<float>() = steps;
               }});
}

constexpr Maker kMakers[] = {
    {"unscale", make_unscale},
    {"all_finite", make_all_finite},
    {"loss_scale_update", make_loss_scale_update},
};

}  // namespace

std::span<const Maker> loss_scale_makers() { return kMakers; }

}  // namespace expgraph::onednn
