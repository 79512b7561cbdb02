// rounding: a kernel over floats -> one over 16-bit types: it computes in float, what it makes is
// rounded once.
#include "backends/reference/rounding.h"

#include <algorithm>

#include "core/support/half.h"

namespace expgraph::reference {

namespace {

bool is_short(DType dtype) { return dtype == DType::bf16 || dtype == DType::f16; }

/// Where the floats of 16-bit tensors lie in scratch.
struct Floats {
  int64_t bytes = 0;
  int64_t add(const TensorType& type) {
    if (!is_short(type.dtype)) return -1;
    const int64_t offset = bytes;
    bytes += (type.elements() * size_of(DType::f32) + 63) / 64 * 64;
    return offset;
  }
};

TensorView in_scratch(const TensorView& tensor, int64_t offset, std::byte* scratch) {
  if (offset < 0 || tensor.data == nullptr) return tensor;
  return {{DType::f32, tensor.type.shape}, scratch + offset};
}

void widen(const TensorView& from, const TensorView& to) {
  const auto convert = from.type.dtype == DType::bf16 ? bf16_to_float : f16_to_float;
  for (int64_t i = 0; i < from.type.elements(); ++i)
    to.as<float>()[i] = convert(from.as<uint16_t>()[i]);
}

void round(const TensorView& from, const TensorView& to) {
  const auto convert = to.type.dtype == DType::bf16 ? float_to_bf16 : float_to_f16;
  for (int64_t i = 0; i < to.type.elements(); ++i)
    to.as<uint16_t>()[i] = convert(from.as<float>()[i]);
}

}  // namespace

bool has_short_types(const Graph& graph, const Node& node) {
  const auto is = [&](ValueId v) { return v.valid() && is_short(graph.type(v).dtype); };
  return std::ranges::any_of(node.inputs, is) || std::ranges::any_of(node.outputs, is);
}

Kernel make_rounding_kernel(const Graph& graph, const Node& node, KernelFunction kernel) {
  Floats floats;
  std::vector<int64_t> inputs, outputs;
  for (const ValueId input : node.inputs)
    inputs.push_back(input.valid() ? floats.add(graph.type(input)) : -1);
  for (const ValueId output : node.outputs) outputs.push_back(floats.add(graph.type(output)));
  const auto run = [kernel, inputs, outputs,
                    &attributes = node.attributes](const KernelArgs& args) {
    std::vector<TensorView> wide_inputs, wide_outputs;
    for (size_t k = 0; k < inputs.size(); ++k) {
      wide_inputs.push_back(in_scratch(args.inputs[k], inputs[k], args.scratch));
      if (inputs[k] >= 0 && args.inputs[k].data) widen(args.inputs[k], wide_inputs.back());
    }
    for (size_t k = 0; k < outputs.size(); ++k)
      wide_outputs.push_back(in_scratch(args.outputs[k], outputs[k], args.scratch));
    kernel(attributes, {wide_inputs, wide_outputs, nullptr});
    for (size_t k = 0; k < outputs.size(); ++k)
      if (outputs[k] >= 0 && args.outputs[k].data) round(wide_outputs[k], args.outputs[k]);
  };
  return {run, floats.bytes};
}

}  // namespace expgraph::reference
