// norm: batch normalisation and its gradient, alone or with the activation and max pooling beside
// it -> the kernel that does them all.
#include "backends/onednn/norm_backward.h"
#include "backends/onednn/norm_forward.h"
#include "backends/onednn/norm_origin.h"
#include "backends/onednn/ports.h"

namespace expgraph::onednn {

namespace {

/// What follows a normalisation.
struct ForwardChain {
  const Node* pool = nullptr;
  const Node* activation = nullptr;
  const Node* sum = nullptr;
};

Made make_forward(const MakerContext& context, const Ports& ports, const Node& norm,
                  const ForwardChain& chain) {
  const auto [pool, activation, sum] = chain;
  Forward f;
  f.x = ports.input(norm.inputs[0]);
  f.scale = ports.input(norm.inputs[1]);
  f.bias = ports.input(norm.inputs[2]);
  f.mean = ports.input(norm.inputs[3]);
  f.variance = ports.input(norm.inputs[4]);
  const TensorType& x = context.input(static_cast<size_t>(f.x));
  if (norm.op->name == "batch_norm") {
    f.splits = norm.attributes.integer("splits");
    f.momentum = norm.attributes.real("momentum");
    if (f.splits == 1) f.moments = context.takes;
    f.mean_out = ports.output(norm.outputs[1]);
    f.inverse_std_out = ports.output(norm.outputs[2]);
    f.new_mean = ports.output(norm.outputs[3]);
    f.new_variance = ports.output(norm.outputs[4]);
  } else if (norm.op->name == "batch_norm_apply") {
    f.mode = Forward::Mode::apply;
    f.splits = context.input(static_cast<size_t>(f.mean)).shape[0] / x.shape[1];
  } else {
    f.mode = Forward::Mode::inference;
  }
  if (f.mode != Forward::Mode::apply) f.epsilon = norm.attributes.real("epsilon");
  const Node& last = sum ? *sum : activation ? *activation : pool ? *pool : norm;
  f.y = ports.output(last.outputs[0]);
  if (activation) f.activation = *activation_of(*activation);
  if (sum)
    for (const ValueId other : sum->inputs)
      if (other != activation->outputs[0]) f.plus.push_back(ports.input(other));
  if (pool) {
    f.pool.emplace(pool->attributes, part_of(x, f.splits),
                   part_of(ports.type(pool->outputs[0]), f.splits));
    f.index = ports.output(pool->outputs[1]);
  }
  f.is_short = x.dtype == DType::bf16;
  const auto kernel = std::make_shared<ForwardKernel>(f, x, context.threads);
  Made made = dense(
      context, {[kernel](const KernelArgs& args) { (*kernel)(args); }, kernel->scratch_bytes()});
  made.typed = true;
  made.inputs[static_cast<size_t>(f.x)] = map_layout(x);
  for (const int k : f.plus) made.inputs[static_cast<size_t>(k)] = map_layout(x);
  for (const int k : {f.y, f.index})
    if (k >= 0) made.outputs[static_cast<size_t>(k)] = map_layout(x);
  return made;
}

/// `again`: the batch_norm_apply that gives the activation's input.
struct BackwardChain {
  const Node* again = nullptr;
  const Node* activation = nullptr;
  const Node* pool = nullptr;
  const Node* norm = nullptr;
};

Made make_backward(const MakerContext& context, const Ports& ports, const BackwardChain& chain) {
  const Node& norm = *chain.norm;
  Backward b;
  b.x = ports.input(norm.inputs[1]);
  b.scale = ports.input(norm.inputs[2]);
  b.mean = ports.input(norm.inputs[3]);
  b.inverse_std = ports.input(norm.inputs[4]);
  b.dx = ports.output(norm.outputs[0]);
  b.dscale = ports.output(norm.outputs[1]);
  b.dbias = ports.output(norm.outputs[2]);
  const Node& first = chain.activation ? *chain.activation : chain.pool ? *chain.pool : norm;
  b.dy = ports.input(first.inputs[0]);
  if (chain.activation) b.activation = *activation_of(*chain.activation);
  if (chain.activation && !chain.again) b.y = ports.input(chain.activation->inputs[1]);
  if (chain.again) b.bias = ports.input(chain.again->inputs[2]);
  const TensorType& x = context.input(static_cast<size_t>(b.x));
  b.is_short = x.dtype == DType::bf16;
  b.splits = context.input(static_cast<size_t>(b.mean)).shape[0] / x.shape[1];
  if (chain.pool) {
    b.index = ports.input(chain.pool->inputs[1]);
    b.pool.emplace(chain.pool->attributes, part_of(x, b.splits),
                   part_of(ports.type(chain.pool->inputs[0]), b.splits));
    const auto value = [&](int k) {
      return k < 0 ? ValueId() : context.node.inputs[static_cast<size_t>(k)];
    };
    // bf16 of y does not tell x.
    b.tells_maxima =
        !b.is_short && chain.activation &&
        is_pooled_norm(context.graph, value(b.y), value(b.index),
                       {value(b.x), value(b.scale), value(b.mean), value(b.inverse_std), *b.pool});
  }
  const auto kernel = std::make_shared<BackwardKernel>(b, x, context.threads);
  Made made = dense(
      context, {[kernel](const KernelArgs& args) { (*kernel)(args); }, kernel->scratch_bytes()});
  made.typed = true;
  for (const int k : {b.dy, b.y, b.index, b.x})
    if (k >= 0) made.inputs[static_cast<size_t>(k)] = map_layout(x);
  if (b.dx >= 0) made.outputs[static_cast<size_t>(b.dx)] = map_layout(x);
  return made;
}

Made make_norm(const MakerContext& context) {
  return make_forward(context, Ports(context), context.node, {});
}

Made make_norm_backward(const MakerContext& context) {
  return make_backward(context, Ports(context), {.norm = &context.node});
}

constexpr Maker kMakers[] = {
    {"batch_norm", make_norm},
    {"batch_norm_inference", make_norm},
    {"batch_norm_apply", make_norm},
    {"batch_norm_backward", make_norm_backward},
};

/// The node of that name where it is next in the chain: fed by `before` at its input `at`.
const Node* take(std::span<const Node>& rest, std::string_view op, const Node* before,
                 size_t at = 0) {
  if (rest.empty() || rest.front().op->name != op) return nullptr;
  if (before && rest.front().inputs[at] != before->outputs[0]) return nullptr;
  const Node* node = &rest.front();
  rest = rest.subspan(1);
  return node;
}

/// The same of any of the names.
const Node* take_any(std::span<const Node>& rest, std::initializer_list<std::string_view> ops,
                     const Node* before, size_t at = 0) {
  for (const std::string_view op : ops)
    if (const Node* node = take(rest, op, before, at)) return node;
  return nullptr;
}

/// Whether the body hands the node's first output back, or reads it other than once.
bool inner(const Ports& ports, const Node& node) {
  return ports.output(node.outputs[0]) < 0 && ports.readers(node.outputs[0]) == 1;
}

std::optional<Made> make_fused_forward(const MakerContext& context, const Ports& ports) {
  std::span<const Node> rest = context.node.body->nodes();
  const Node* norm =
      take_any(rest, {"batch_norm", "batch_norm_inference", "batch_norm_apply"}, nullptr);
  if (norm == nullptr) return std::nullopt;
  const Node* pool = take(rest, "max_pool", norm);
  const Node* activation = pool ? take(rest, "relu", pool)  // pooling knows no other
                                : take_any(rest, {"relu", "celu", "gelu"}, norm);
  const Node* sum = nullptr;
  if (activation && !pool && !rest.empty() && rest.front().op->name == "add" &&
      inner(ports, *activation) &&
      std::ranges::count(rest.front().inputs, activation->outputs[0]) == 1) {
    sum = &rest.front();
    rest = rest.subspan(1);
  }
  const bool chain = rest.empty() && (pool || activation) && inner(ports, *norm) &&
                     !(pool && activation && !inner(ports, *pool));
  if (!chain) return std::nullopt;
  return make_forward(context, ports, *norm, {pool, activation, sum});
}

std::optional<Made> make_fused_backward(const MakerContext& context, const Ports& ports) {
  std::span<const Node> rest = context.node.body->nodes();
  BackwardChain chain;
  chain.again = take(rest, "batch_norm_apply", nullptr);
  chain.activation = chain.again
                         ? take_any(rest, {"gelu_backward", "relu_backward"}, chain.again, 1)
                         : take_any(rest, {"relu_backward", "celu_backward"}, nullptr);
  const bool poolable =
      !chain.again && (!chain.activation || chain.activation->op->name == "relu_backward");
  if (poolable) chain.pool = take(rest, "max_pool_backward", chain.activation);
  chain.norm = take(rest, "batch_norm_backward", chain.pool ? chain.pool : chain.activation);
  if (!chain.norm || !rest.empty() || !ports.all_leaves(*chain.norm, 1)) return std::nullopt;
  for (const Node* node : {chain.again, chain.activation, chain.pool})
    if (node && !inner(ports, *node)) return std::nullopt;
  if (chain.again) {
    // The same normalisation forward and backward: x, scale, mean, inverse_std.
    const std::vector<ValueId>&forward = chain.again->inputs, &backward = chain.norm->inputs;
    const bool same = chain.activation && forward[0] == backward[1] && forward[1] == backward[2] &&
                      forward[3] == backward[3] && forward[4] == backward[4];
    if (!same) return std::nullopt;
  }
  if (!chain.pool) return make_backward(context, ports, chain);
  // Windows that overlap or leave pixels out need the gradient of the pool as a map of its own.
  const PoolShape pool(chain.pool->attributes, ports.type(chain.pool->outputs[0]),
                       ports.type(chain.pool->inputs[0]));
  if (!ports.all_leaves(*chain.pool, 1) || !pool.tiles_exactly()) return std::nullopt;
  return make_backward(context, ports, chain);
}

}  // namespace

std::span<const Maker> norm_makers() { return kMakers; }

ValueId norm_input(const Node& node) {
  if (node.body == nullptr || node.body->nodes().empty()) return {};
  const Node& norm = node.body->nodes().front();
  const ValueId x = norm.op->name == "batch_norm" ? norm.inputs[0] : ValueId();
  const bool whole = x.valid() && norm.attributes.integer("splits") == 1;
  if (!whole || !node.body->is_leaf(x)) return {};
  return node.inputs[static_cast<size_t>(node.body->value(x).output)];
}

std::optional<Made> make_fused_norm(const MakerContext& context) {
  const Ports ports(context);
  if (std::optional<Made> forward = make_fused_forward(context, ports)) return forward;
  return make_fused_backward(context, ports);
}

}  // namespace expgraph::onednn
