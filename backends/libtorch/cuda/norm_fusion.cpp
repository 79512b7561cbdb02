// norm_fusion: fusion nodes of normalisation, pooling and activation -> the kernels of norm.cu.
#include <algorithm>
#include <array>
#include <limits>
#include <tuple>

#include "backends/libtorch/cuda/part.h"
#include "core/ops/common.h"

namespace expgraph::libtorch {

namespace {

constexpr auto kAbsent = std::numeric_limits<size_t>::max();

/// A fusion's body seen from its node: members by operator, values by place among the inputs and
/// outputs of the node.
class Body {
 public:
  explicit Body(const MakerContext& context) : graph_(*context.node.body), context_(context) {}

  const Node* find(std::string_view op) const {
    const auto found =
        std::ranges::find_if(graph_.nodes(), [&](const Node& node) { return node.op->name == op; });
    return found == graph_.nodes().end() ? nullptr : &*found;
  }
  const TensorType& type(ValueId value) const { return graph_.type(value); }
  /// Of the k-th input of a member that is read from outside the fusion; kAbsent where there is
  /// none.
  size_t input(const Node& node, size_t k) const {
    if (!node.inputs[k].valid()) return kAbsent;
    EXPGRAPH_CHECK(graph_.is_leaf(node.inputs[k]));
    return static_cast<size_t>(graph_.value(node.inputs[k]).output);
  }
  /// Of the inputs `first` and after.
  template <size_t N>
  std::array<size_t, N> inputs(const Node& node, size_t first) const {
    std::array<size_t, N> places{};
    for (size_t k = 0; k < N; ++k) places[k] = input(node, first + k);
    return places;
  }
  /// Of the k-th output of a member among those of the fusion; -1 where nobody reads it.
  int output(const Node& node, size_t k) const {
    for (size_t at = 0; at < graph_.results().size(); ++at) {
      const bool is = graph_.results()[at].value == node.outputs[k];
      if (is) return context_.read(at) ? static_cast<int>(at) : -1;
    }
    return -1;
  }
  size_t outputs() const { return graph_.results().size(); }

 private:
  const Graph& graph_;
  const MakerContext& context_;
};

/// Sizes of the map x with what the fusion does behind it, statistics being of `statistics`;
/// nothing where the kernels cannot.
std::optional<cuda::NormSizes> sizes_of(const TensorType& x, const TensorType& statistics,
                                        const Node* pool, const Node* activation) {
  constexpr int64_t kMostParts = 65535;  // of a grid, along z
  cuda::NormSizes sizes;
  if (x.dtype == DType::f16) sizes.storage = cuda::Storage::f16;
  if (x.dtype == DType::bf16) sizes.storage = cuda::Storage::bf16;
  if (x.dtype == DType::f64) return std::nullopt;
  sizes.n = x.shape[0];
  sizes.c = x.shape[1];
  sizes.h = x.rank() == 4 ? x.shape[2] : 1;
  sizes.w = x.rank() == 4 ? x.shape[3] : 1;
  const int64_t splits = statistics.shape[0] / sizes.c;
  if (splits > kMostParts) return std::nullopt;
  sizes.splits = static_cast<int>(splits);
  if (activation != nullptr) {
    const std::string_view name = activation->op->name;
    sizes.activation = name.starts_with("relu")   ? cuda::Activation::relu
                       : name.starts_with("celu") ? cuda::Activation::celu
                                                  : cuda::Activation::gelu;
    if (name.starts_with("celu"))
      sizes.alpha = static_cast<float>(activation->attributes.real("alpha"));
  }
  if (pool == nullptr) return sizes;
  const Window window = pool_window(pool->attributes, sizes.h, sizes.w);
  if (index_dtype(window) != DType::u8) return std::nullopt;
  sizes.pooled = true;
  sizes.window = {static_cast<int>(window.kh), static_cast<int>(window.kw),
                  static_cast<int>(window.sh), static_cast<int>(window.sw),
                  static_cast<int>(window.ph), static_cast<int>(window.pw),
                  window.out_height(sizes.h),  window.out_width(sizes.w)};
  return sizes;
}

/// The channels last, as the kernels read maps.
at::Tensor laid_out(const at::Tensor& x) {
  return x.dim() == 4 ? x.contiguous(at::MemoryFormat::ChannelsLast) : x.contiguous();
}
at::Tensor empty(const TensorType& type, const at::Tensor& like) {
  const auto options = like.options().dtype(scalar_type(type.dtype));
  if (type.rank() != 4) return at::empty(type.shape, options);
  return at::empty(type.shape, options, at::MemoryFormat::ChannelsLast);
}
at::Tensor floats(int64_t count, const at::Tensor& like) {
  return at::empty({count}, like.options().dtype(at::kFloat));
}
float* data(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.data_ptr<float>() : nullptr;
}
float* data(std::span<const at::Tensor> inputs, size_t place) {
  return place == kAbsent ? nullptr : data(inputs[place]);
}

/// The fusion's nodes: normalisation, and pooling and activation or null; in a gradient also the
/// normalisation that is made again for it, or null.
struct Members {
  const Node* norm = nullptr;
  const Node* pool = nullptr;
  const Node* activation = nullptr;
  const Node* again = nullptr;
  size_t count() const {
    return 1 + (pool != nullptr) + (activation != nullptr) + (again != nullptr);
  }
};

/// Those of a body around a node of normalisation; `suffix` is that of backward operators.
Members members_of(const Body& body, const Node& norm, const std::string& suffix) {
  Members members{&norm, body.find("max_pool" + suffix)};
  for (const char* name : {"relu", "celu", "gelu"})
    if (const Node* activation = body.find(name + suffix)) members.activation = activation;
  if (!suffix.empty()) members.again = body.find("batch_norm_apply");
  return members;
}

/// batch_norm [max_pool] [activation]
std::optional<Kernel> make_forward(const Body& body, const Members& members) {
  const Node& norm = *members.norm;
  const auto sizes = sizes_of(body.type(norm.inputs[0]), body.type(norm.outputs[1]), members.pool,
                              members.activation);
  if (!sizes) return std::nullopt;
  const Node& last = members.activation ? *members.activation : members.pool ? *members.pool : norm;
  const auto in = body.inputs<5>(norm, 0);
  std::array<int, 5> out{};
  for (size_t k = 1; k < out.size(); ++k) out[k] = body.output(norm, k);
  out[0] = body.output(last, 0);
  const int index = members.pool ? body.output(*members.pool, 1) : -1;
  const TensorType y_type = body.type(last.outputs[0]);
  const auto epsilon = static_cast<float>(norm.attributes.real("epsilon"));
  const auto momentum = static_cast<float>(norm.attributes.real("momentum"));
  return [=, sizes = *sizes, count = body.outputs()](std::span<const at::Tensor> inputs) {
    const at::Tensor x = laid_out(inputs[in[0]]);
    const at::Tensor y = empty(y_type, x);
    at::Tensor places, new_mean, new_var;
    if (index >= 0) places = empty({DType::u8, y_type.shape}, x);
    if (out[3] >= 0) new_mean = floats(sizes.c, x);
    if (out[4] >= 0) new_var = floats(sizes.c, x);
    const at::Tensor mean = floats(sizes.splits * sizes.c, x), inverse_std = at::empty_like(mean);
    const at::Tensor scratch = floats(cuda::batch_norm_scratch_bytes(sizes) / 4, x);
    cuda::batch_norm_forward(sizes,
                             {.x = x.data_ptr(),
                              .scale = data(inputs, in[1]),
                              .bias = data(inputs, in[2]),
                              .running_mean = data(inputs, in[3]),
                              .running_var = data(inputs, in[4]),
                              .epsilon = epsilon,
                              .momentum = momentum,
                              .y = y.data_ptr(),
                              .index = index >= 0 ? places.data_ptr<uint8_t>() : nullptr,
                              .mean = data(mean),
                              .inverse_std = data(inverse_std),
                              .new_running_mean = data(new_mean),
                              .new_running_var = data(new_var),
                              .scratch = data(scratch)},
                             current_stream());
    const std::array<at::Tensor, 5> made{y, mean, inverse_std, new_mean, new_var};
    Tensors results(count);
    for (size_t k = 0; k < made.size(); ++k)
      if (out[k] >= 0) results[static_cast<size_t>(out[k])] = made[k];
    if (index >= 0) results[static_cast<size_t>(index)] = places;
    return results;
  };
}

/// batch_norm_inference or batch_norm_apply, [max_pool] [activation]
std::optional<Kernel> make_apply(const Body& body, const Members& members) {
  const Node& norm = *members.norm;
  const auto sizes = sizes_of(body.type(norm.inputs[0]), body.type(norm.inputs[3]), members.pool,
                              members.activation);
  if (!sizes || (members.pool && body.output(*members.pool, 1) >= 0)) return std::nullopt;
  const Node& last = members.activation ? *members.activation : members.pool ? *members.pool : norm;
  const auto in = body.inputs<5>(norm, 0);
  const int out = body.output(last, 0);
  EXPGRAPH_CHECK(out >= 0);
  const TensorType y_type = body.type(last.outputs[0]);
  const bool by_variance = norm.op->name == "batch_norm_inference";
  const float epsilon = by_variance ? static_cast<float>(norm.attributes.real("epsilon")) : 0.0f;
  return [=, sizes = *sizes, count = body.outputs()](std::span<const at::Tensor> inputs) {
    const at::Tensor x = laid_out(inputs[in[0]]);
    const at::Tensor y = empty(y_type, x);
    cuda::batch_norm_apply(sizes,
                           {.x = x.data_ptr(),
                            .scale = data(inputs, in[1]),
                            .bias = data(inputs, in[2]),
                            .mean = data(inputs, in[3]),
                            .spread = data(inputs, in[4]),
                            .spread_is_variance = by_variance,
                            .epsilon = epsilon,
                            .y = y.data_ptr(),
                            .index = nullptr},
                           current_stream());
    Tensors results(count);
    results[static_cast<size_t>(out)] = y;
    return results;
  };
}

/// Whether the normalisation that is made again is that whose gradient this is.
bool is_same(const Body& body, const Node& again, const Node& backward) {
  for (const auto& [k, of] : {std::pair<size_t, size_t>{0, 1}, {1, 2}, {3, 3}, {4, 4}})
    if (body.input(again, k) != body.input(backward, of)) return false;
  return true;
}

/// [its backward] [max_pool_backward] batch_norm_backward, or batch_norm_apply, the backward of an
/// activation that reads it, batch_norm_backward.
std::optional<Kernel> make_backward(const Body& body, const Members& members) {
  const Node& norm = *members.norm;
  const TensorType x_type = body.type(norm.inputs[1]);
  const auto sizes = sizes_of(x_type, body.type(norm.inputs[3]), members.pool, members.activation);
  if (!sizes || (members.again && !is_same(body, *members.again, norm))) return std::nullopt;
  const Node& first = members.activation ? *members.activation
                      : members.pool     ? *members.pool
                                         : norm;
  const size_t dy_at = body.input(first, 0);
  const bool is_saved = members.activation != nullptr && members.again == nullptr;
  const size_t saved_at = is_saved ? body.input(*members.activation, 1) : kAbsent;
  const size_t index_at = members.pool ? body.input(*members.pool, 1) : kAbsent;
  const size_t bias_at = members.again ? body.input(*members.again, 2) : kAbsent;
  const auto in = body.inputs<4>(norm, 1);
  std::array<int, 3> out{};
  for (size_t k = 0; k < out.size(); ++k) out[k] = body.output(norm, k);
  return [=, sizes = *sizes, count = body.outputs()](std::span<const at::Tensor> inputs) {
    const at::Tensor dy = laid_out(inputs[dy_at]), x = laid_out(inputs[in[0]]);
    at::Tensor saved, index, dx, dscale, dbias;
    if (saved_at != kAbsent) saved = laid_out(inputs[saved_at]);
    if (index_at != kAbsent) index = laid_out(inputs[index_at]);
    if (out[0] >= 0) dx = empty(x_type, x);
    if (out[1] >= 0) dscale = floats(sizes.c, x);
    if (out[2] >= 0) dbias = floats(sizes.c, x);
    const at::Tensor scratch = floats(cuda::batch_norm_scratch_bytes(sizes) / 4, x);
    cuda::batch_norm_backward(sizes,
                              {.dy = dy.data_ptr(),
                               .saved = saved.defined() ? saved.data_ptr() : nullptr,
                               .index = index.defined() ? index.data_ptr<uint8_t>() : nullptr,
                               .x = x.data_ptr(),
                               .scale = data(inputs, in[1]),
                               .bias = data(inputs, bias_at),
                               .mean = data(inputs, in[2]),
                               .inverse_std = data(inputs, in[3]),
                               .dx = dx.defined() ? dx.data_ptr() : nullptr,
                               .dscale = data(dscale),
                               .dbias = data(dbias),
                               .scratch = data(scratch)},
                              current_stream());
    const std::array<at::Tensor, 3> made{dx, dscale, dbias};
    Tensors results(count);
    for (size_t k = 0; k < made.size(); ++k)
      if (out[k] >= 0) results[static_cast<size_t>(out[k])] = made[k];
    return results;
  };
}

}  // namespace

std::optional<Kernel> make_norm_fusion(const MakerContext& context) {
  if (context.node.body == nullptr) return std::nullopt;
  const Body body(context);
  using Make = std::optional<Kernel> (*)(const Body&, const Members&);
  constexpr std::tuple<const char*, const char*, Make> kMakers[] = {
      {"batch_norm", "", make_forward},
      {"batch_norm_inference", "", make_apply},
      {"batch_norm_backward", "_backward", make_backward},
      {"batch_norm_apply", "", make_apply},
  };
  for (const auto& [name, suffix, make] : kMakers) {
    const Node* norm = body.find(name);
    if (norm == nullptr) continue;
    const Members members = members_of(body, *norm, suffix);
    // A chain that no kernel is written for is left to ATen's, one by one.
    if (members.count() != context.node.body->nodes().size()) return std::nullopt;
    return make(body, members);
  }
  return std::nullopt;
}

}  // namespace expgraph::libtorch
