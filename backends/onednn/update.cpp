// update: SGD over a parameter, its gradient and momentum in one pass.
#include "backends/onednn/kernels.h"
#include "backends/onednn/parallel.h"
#include "backends/onednn/vector.h"

namespace expgraph::onednn {

namespace {

Made make_sgd_update(const MakerContext& context) {
  const Attributes& attributes = context.node.attributes;
  SgdStep step{};
  step.momentum = static_cast<float>(attributes.real("momentum"));
  step.weight_decay = static_cast<float>(attributes.real("weight_decay"));
  step.nesterov = attributes.flag("nesterov");
  return dense(
      context, {[step, threads = context.threads](const KernelArgs& args) {
        SgdStep now = step;
        now.lr = *args.inputs[2].as<float>();
        const bool remembers = step.momentum != 0;
        const float* parameter = args.inputs[0].as<float>();
        const float* gradient = args.inputs[1].as<float>();
        const float* momentum = remembers ? args.inputs[3].as<float>() : nullptr;
        float* new_parameter = args.outputs[0].as<float>();
        float* new_momentum = remembers ? args.outputs[1].as<float>() : nullptr;
        constexpr int64_t kGrain = 4096;
        parallel(threads, args.inputs[0].type.elements(), kGrain, [&](int, int64_t i, int64_t end) {
          sgd_update(parameter + i, gradient + i, momentum ? momentum + i : nullptr,
                     new_parameter + i, new_momentum ? new_momentum + i : nullptr, end - i, now);
        });
      }});
}

constexpr Maker kMakers[] = {
    {"sgd_update", make_sgd_update},
};

}  // namespace

std::span<const Maker> update_makers() { return kMakers; }

}  // namespace expgraph::onednn
