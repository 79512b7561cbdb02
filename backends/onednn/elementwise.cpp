// elementwise: activations, their gradients, add, scale, scale_by, cast and constant, over flat
// memory: all operands lie alike, however that is.
#include "backends/onednn/kernels.h"
#include "backends/onednn/parallel.h"
#include "backends/onednn/reals.h"
#include "backends/onednn/vector.h"

namespace expgraph::onednn {

namespace {

constexpr int64_t kGrain = 4096;  // elements

struct Buffer {
  alignas(64) float elements[kGrain];
};

/// Inputs as the first lies, the output too.
Made alike(const MakerContext& context, std::function<void(const KernelArgs&)> run) {
  const Layout layout = context.inputs.empty() ? Layout::dense : context.inputs[0];
  Made made{{std::move(run)}, std::vector<Layout>(context.inputs.size(), layout), {layout}};
  made.typed = true;
  return made;
}

/// body(first, count, y) for runs of the output that fit the first-level cache.
template <typename Body>
Made by_runs(const MakerContext& context, const Body& body) {
  return alike(context, [threads = context.threads, body](const KernelArgs& args) {
    const RealsOut y = args.outputs[0];
    parallel(threads, args.outputs[0].type.elements(), kGrain, [&](int, int64_t i, int64_t end) {
      Buffer buffer;
      for (int64_t first = i; first < end; first += kGrain) {
        const int64_t count = std::min(kGrain, end - first);
        body(args, first, count, y.at(first, buffer.elements));
        y.put(first, count, buffer.elements);
      }
    });
  });
}

/// A run of an input of by_runs.
const float* run_of(const TensorView& input, int64_t first, int64_t count, Buffer& buffer) {
  return RealsIn(input).at(first, count, buffer.elements);
}

Made make_activation(const MakerContext& context) {
  const auto run = [activation = *activation_of(context.node)](
                       const KernelArgs& args, int64_t first, int64_t count, float* y) {
    Buffer x;
    activate(run_of(args.inputs[0], first, count, x), y, count, activation);
  };
  return by_runs(context, run);
}

Made make_activation_backward(const MakerContext& context) {
  const auto run = [activation = *activation_of(context.node)](
                       const KernelArgs& args, int64_t first, int64_t count, float* dx) {
    Buffer dy, of;
    activate_backward(run_of(args.inputs[0], first, count, dy),
                      run_of(args.inputs[1], first, count, of), dx, count, activation);
  };
  return by_runs(context, run);
}

Made make_add(const MakerContext& context) {
  const auto run = [](const KernelArgs& args, int64_t first, int64_t count, float* y) {
    Buffer left, right;
    const float* sum = run_of(args.inputs[0], first, count, left);
    if (args.inputs.size() == 1) scale(sum, 1, y, count);
    for (const TensorView& x : args.inputs.subspan(1)) {
      add(sum, run_of(x, first, count, right), y, count);
      sum = y;
    }
  };
  return by_runs(context, run);
}

Made make_scale(const MakerContext& context) {
  const auto run = [factor = static_cast<float>(context.node.attributes.real("factor"))](
                       const KernelArgs& args, int64_t first, int64_t count, float* y) {
    Buffer x;
    scale(run_of(args.inputs[0], first, count, x), factor, y, count);
  };
  return by_runs(context, run);
}

Made make_scale_by(const MakerContext& context) {
  const auto run = [](const KernelArgs& args, int64_t first, int64_t count, float* y) {
    Buffer x, factor;
    scale(run_of(args.inputs[0], first, count, x), *run_of(args.inputs[1], 0, 1, factor), y, count);
  };
  Made made = by_runs(context, run);
  made.inputs[1] = Layout::dense;
  return made;
}

/// f32 <-> bf16.
Made make_cast(const MakerContext& context) {
  const auto run = [](const KernelArgs& args, int64_t first, int64_t count, float* y) {
    Buffer x;
    std::copy_n(run_of(args.inputs[0], first, count, x), count, y);
  };
  return by_runs(context, run);
}

Made make_constant(const MakerContext& context) {
  const auto run = [value = static_cast<float>(context.node.attributes.real("value"))](
                       const KernelArgs&, int64_t, int64_t count, float* y) {
    std::fill_n(y, count, value);
  };
  return by_runs(context, run);
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
