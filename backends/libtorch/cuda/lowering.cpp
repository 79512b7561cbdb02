// lowering: nodes of losses -> the kernels of loss.cu; and who makes the kernel of a node.
#include <array>

#include "backends/libtorch/cuda/part.h"

namespace expgraph::libtorch {

namespace {

std::optional<cuda::Storage> storage_of(DType dtype) {
  if (dtype == DType::f32) return cuda::Storage::f32;
  if (dtype == DType::f16) return cuda::Storage::f16;
  if (dtype == DType::bf16) return cuda::Storage::bf16;
  return std::nullopt;
}

cuda::LossSizes loss_sizes(const TensorType& logits) {
  return {.storage = *storage_of(logits.dtype), .n = logits.shape[0], .classes = logits.shape[1]};
}

at::Tensor floats(const at::Tensor& like, at::IntArrayRef shape) {
  return at::empty(shape, like.options().dtype(at::kFloat));
}

/// Labels of a loss: a label, then the other and its weight or nothing.
struct Labels {
  Labels(std::span<const at::Tensor> in, size_t first) {
    for (size_t k = 0; k < tensors.size() && first + k < in.size(); ++k)
      if (in[first + k].defined()) tensors[k] = in[first + k].contiguous();
  }
  const int32_t* operator[](size_t k) const {
    return tensors[k].defined() ? tensors[k].data_ptr<int32_t>() : nullptr;
  }
  std::array<at::Tensor, 3> tensors;
};

Kernel make_cross_entropy(cuda::LossSizes sizes) {
  return [sizes](std::span<const at::Tensor> in) -> Tensors {
    const at::Tensor logits = in[0].contiguous();
    const Labels labels(in, 1);
    const at::Tensor loss = floats(logits, {}), scratch = floats(logits, {sizes.n});
    cuda::cross_entropy(sizes,
                        {.logits = logits.data_ptr(),
                         .label = labels[0],
                         .other = labels[1],
                         .weight = labels[2],
                         .loss = loss.data_ptr<float>(),
                         .dloss = nullptr,
                         .dlogits = nullptr,
                         .scratch = scratch.data_ptr<float>()},
                        current_stream());
    return {loss};
  };
}

Kernel make_cross_entropy_backward(cuda::LossSizes sizes) {
  return [sizes](std::span<const at::Tensor> in) -> Tensors {
    const at::Tensor logits = in[1].contiguous();
    const Labels labels(in, 2);
    const at::Tensor dlogits = at::empty_like(logits);
    cuda::cross_entropy(sizes,
                        {.logits = logits.data_ptr(),
                         .label = labels[0],
                         .other = labels[1],
                         .weight = labels[2],
                         .loss = nullptr,
                         .dloss = in[0].data_ptr<float>(),
                         .dlogits = dlogits.data_ptr(),
                         .scratch = nullptr},
                        current_stream());
    return {dlogits};
  };
}

Kernel make_correct(cuda::LossSizes sizes, int64_t k) {
  return [sizes, k](std::span<const at::Tensor> in) -> Tensors {
    const at::Tensor logits = in[0].contiguous(), label = in[1].contiguous();
    const at::Tensor count = floats(logits, {}), scratch = floats(logits, {sizes.n});
    cuda::count_correct(sizes, logits.data_ptr(), label.data_ptr<int32_t>(), k,
                        count.data_ptr<float>(), scratch.data_ptr<float>(), current_stream());
    return {count};
  };
}

std::optional<Kernel> make_loss(const MakerContext& context) {
  const std::string_view name = context.node.op->name;
  const bool backward = name == "cross_entropy_backward";
  if (!backward && name != "cross_entropy" && name != "correct") return std::nullopt;
  const TensorType& logits = context.input(backward ? 1 : 0);
  if (!storage_of(logits.dtype)) return std::nullopt;  // f64: ATen's
  cuda::LossSizes sizes = loss_sizes(logits);
  const Attributes& attributes = context.node.attributes;
  if (name == "correct") return make_correct(sizes, attributes.integer("k"));
  sizes.label_smoothing = attributes.real("label_smoothing");
  sizes.mean = attributes.text("reduction") == "mean";
  return backward ? make_cross_entropy_backward(sizes) : make_cross_entropy(sizes);
}

}  // namespace

std::optional<Kernel> make_own_kernel(const MakerContext& context) {
  for (const auto make : {make_norm_fusion, make_augment, make_loss, make_update})
    if (std::optional<Kernel> kernel = make(context)) return kernel;
  return std::nullopt;
}

}  // namespace expgraph::libtorch
