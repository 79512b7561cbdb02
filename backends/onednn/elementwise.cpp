// elementwise: activations, their gradients, add, scale, scale_by, cast and constant, over flat
// memory: all operands lie alike, however that is.
#include <cstring>

#include "backends/onednn/bf16.h"
#include "backends/onednn/kernels.h"
#include "backends/onednn/parallel.h"
#include "backends/onednn/vector.h"

namespace expgraph::onednn {

namespace {

constexpr int64_t kGrain = 4096;  // elements

/// Inputs as the first lies, the output too.
Made alike(const MakerContext& context, std::function<void(const KernelArgs&)> run) {
  const Layout layout = context.inputs.empty() ? Layout::dense : context.inputs[0];
  return {{std::move(run)}, std::vector<Layout>(context.inputs.size(), layout), {layout}};
}

Made make_activation(const MakerContext& context) {
  const Activation activation = *activation_of(context.node);
  return alike(context, [threads = context.threads, activation](const KernelArgs& args) {
    const float* x = args.inputs[0].as<float>();
    float* y = args.outputs[0].as<float>();
    parallel(threads, args.outputs[0].type.elements(), kGrain,
             [&](int, int64_t i, int64_t end) { activate(x + i, y + i, end - i, activation); });
  });
}

Made make_activation_backward(const MakerContext& context) {
  const Activation activation = *activation_of(context.node);
  return alike(context, [threads = context.threads, activation](const KernelArgs& args) {
    const float* dy = args.inputs[0].as<float>();
    const float* of = args.inputs[1].as<float>();
    float* dx = args.outputs[0].as<float>();
    parallel(threads, args.outputs[0].type.elements(), kGrain, [&](int, int64_t i, int64_t end) {
      activate_backward(dy + i, of + i, dx + i, end - i, activation);
    });
  });
}

Made make_add(const MakerContext& context) {
  return alike(context, [threads = context.threads](const KernelArgs& args) {
    float* y = args.outputs[0].as<float>();
    parallel(threads, args.outputs[0].type.elements(), kGrain, [&](int, int64_t i, int64_t end) {
      // In cache-sized pieces: y is read back for the third operand on.
      for (int64_t begin = i; begin < end; begin += kGrain) {
        const int64_t count = std::min(kGrain, end - begin);
        const float* sum = args.inputs[0].as<float>() + begin;
        if (args.inputs.size() == 1) scale(sum, 1, y + begin, count);
        for (const TensorView& x : args.inputs.subspan(1)) {
          add(sum, x.as<float>() + begin, y + begin, count);
          sum = y + begin;
        }
      }
    });
  });
}

Made make_scale(const MakerContext& context) {
  const float factor = static_cast<float>(context.node.attributes.real("factor"));
  return alike(context, [threads = context.threads, factor](const KernelArgs& args) {
    const float* x = args.inputs[0].as<float>();
    float* y = args.outputs[0].as<float>();
    parallel(threads, args.outputs[0].type.elements(), kGrain,
             [&](int, int64_t i, int64_t end) { scale(x + i, factor, y + i, end - i); });
  });
}

Made make_scale_by(const MakerContext& context) {
  Made made = alike(context, [threads = context.threads](const KernelArgs& args) {
    const float* x = args.inputs[0].as<float>();
    const float factor = *args.inputs[1].as<float>();
    float* y = args.outputs[0].as<float>();
    parallel(threads, args.outputs[0].type.elements(), kGrain,
             [&](int, int64_t i, int64_t end) { scale(x + i, factor, y + i, end - i); });
  });
  made.inputs[1] = Layout::dense;
  return made;
}

/// f32 <-> bf16.
Made make_cast(const MakerContext& context) {
  Made made = alike(context, [threads = context.threads](const KernelArgs& args) {
    const TensorView &x = args.inputs[0], &y = args.outputs[0];
    parallel(threads, y.type.elements(), kGrain, [&](int, int64_t i, int64_t end) {
      if (x.type.dtype == y.type.dtype)
        std::memcpy(y.as<std::byte>() + i * size_of(y.type.dtype),
                    x.as<std::byte>() + i * size_of(y.type.dtype),
                    static_cast<size_t>((end - i) * size_of(y.type.dtype)));
      else if (y.type.dtype == DType::f32)
        widen(x.as<uint16_t>() + i, y.as<float>() + i, end - i);
      else
        narrow(x.as<float>() + i, y.as<uint16_t>() + i, end - i);
    });
  });
  made.typed = true;
  return made;
}

Made make_constant(const MakerContext& context) {
  const float value = static_cast<float>(context.node.attributes.real("value"));
  return alike(context, [value](const KernelArgs& args) {
    std::fill_n(args.outputs[0].as<float>(), args.outputs[0].type.elements(), value);
  });
}

constexpr Maker kMakers[] = {
    {"relu", make_activation},   {"relu_backward", make_activation_backward},
    {"celu", make_activation},   {"celu_backward", make_activation_backward},
    {"gelu", make_activation},   {"gelu_backward", make_activation_backward},
    {"add", make_add},           {"scale", make_scale},
    {"scale_by", make_scale_by}, {"constant", make_constant},
    {"cast", make_cast},
};

}  // namespace

std::optional<Activation> activation_of(const Node& node) {
  using Kind = Activation::Kind;
  const std::string_view name = node.op->name;
  if (name == "relu" || name == "relu_backward") return Activation{Kind::relu};
  if (name == "gelu" || name == "gelu_backward") return Activation{Kind::gelu};
  if (name != "celu" && name != "celu_backward") return std::nullopt;
  return Activation{Kind::celu, static_cast<float>(node.attributes.real("alpha"))};
}

std::span<const Maker> elementwise_makers() { return kMakers; }

}  // namespace expgraph::onednn
