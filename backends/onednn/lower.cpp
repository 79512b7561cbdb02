// lower: Graph -> one kernel per node. Each value gets a layout when it is made; a reader that
// wants another one, or floats in place of bf16, has it converted into scratch before it runs.
#include <fmt/format.h>

#include "backends/onednn/bf16.h"
#include "backends/onednn/conv.h"
#include "backends/onednn/dnnl.h"
#include "backends/onednn/kernels.h"
#include "backends/onednn/parallel.h"

namespace expgraph::onednn {

Made dense(const MakerContext& context, Kernel kernel) {
  return {std::move(kernel), std::vector<Layout>(context.node.inputs.size(), Layout::dense),
          std::vector<Layout>(context.node.outputs.size(), Layout::dense)};
}

const Maker* find_maker(std::string_view op) {
  for (const auto family :
       {adaptive_makers, augment_makers, average_makers, conv_makers, data_makers,
        elementwise_makers, fusion_makers, loss_makers, loss_scale_makers, matmul_makers,
        norm_makers, pool_makers, reduce_makers, shape_makers, update_makers}) {
    const auto found = std::ranges::find(family(), op, &Maker::op);
    if (found != family().end()) return &*found;
  }
  return nullptr;
}

namespace {

size_t at(ValueId value) { return static_cast<size_t>(value.index); }

/// Values that others than kernels read: they lie dense.
std::vector<bool> dense_values(const Graph& graph, const MemoryPlan* plan) {
  std::vector<bool> result(graph.values().size(), false);
  for (size_t v = 0; v < result.size(); ++v)
    result[v] = graph.is_leaf({static_cast<int32_t>(v)}) ||
                (plan && plan->placements[v].kind != Placement::Kind::arena);
  for (const Result& r : graph.results()) result[at(r.value)] = true;
  for (const StateUpdate& update : graph.updates()) result[at(update.value)] = true;
  return result;
}

/// How the elements of a value lie.
struct Form {
  Layout layout;
  DType dtype;
};

bool same_form(Form a, Form b, const TensorType& type) {
  return a.dtype == b.dtype && same_bytes(a.layout, b.layout, type);
}

/// A value of a node that its kernel wants to lie otherwise than it does. bf16 is widened before
/// it is reordered, and rounded after that.
class Conversion {
 public:
  /// `inner`: of the two forms the kernel's.
  Conversion(size_t index, const TensorType& type, Form from, Form to, Form inner, int threads,
             ScratchPlan& scratch)
      : index_(index),
        inner_{inner.dtype, type.shape},
        threads_(threads),
        widens_(from.dtype == DType::bf16),
        narrows_(to.dtype == DType::bf16) {
    const int64_t wide_bytes = TensorType{DType::f32, type.shape}.bytes();
    if (!same_bytes(from.layout, to.layout, type)) {
      reorder_.emplace(describe(type, from.layout), describe(type, to.layout));
      reorder_at_ = scratch.add(reorder_->scratch_bytes());
      if (widens_) widened_at_ = scratch.add(wide_bytes);
      if (narrows_) reordered_at_ = scratch.add(wide_bytes);
    }
    inner_at_ = scratch.add(inner_.bytes());
  }

  size_t index() const { return index_; }
  /// What the kernel is given in place of the value.
  TensorView inner(std::byte* scratch) const { return {inner_, scratch + inner_at_}; }

  void run(const void* from, void* to, std::byte* scratch) {
    const int64_t count = inner_.elements();
    if (widens_) {
      void* wide = reorder_ ? scratch + widened_at_ : to;
      parallel(threads_, count, kGrain, [&](int, int64_t i, int64_t end) {
        widen(static_cast<const uint16_t*>(from) + i, static_cast<float*>(wide) + i, end - i);
      });
      from = wide;
    }
    if (reorder_) {
      void* reordered = narrows_ ? scratch + reordered_at_ : to;
      reorder_->run(from, reordered, scratch + reorder_at_);
      from = reordered;
    }
    if (!narrows_) return;
    parallel(threads_, count, kGrain, [&](int, int64_t i, int64_t end) {
      narrow(static_cast<const float*>(from) + i, static_cast<uint16_t*>(to) + i, end - i);
    });
  }

 private:
  static constexpr int64_t kGrain = 4096;  // elements

  size_t index_;
  TensorType inner_;
  int threads_;
  bool widens_, narrows_;
  std::optional<Reorder> reorder_;
  int64_t reorder_at_ = 0, widened_at_ = 0, reordered_at_ = 0, inner_at_ = 0;
};

/// The kernel with conversions before and after it.
Kernel convert(Kernel kernel, std::vector<Conversion> before, std::vector<Conversion> after,
               ScratchPlan scratch) {
  const int64_t kernel_at = scratch.add(kernel.scratch_bytes);
  const auto run = [=](const KernelArgs& args) mutable {
    std::vector<TensorView> inputs(args.inputs.begin(), args.inputs.end());
    std::vector<TensorView> outputs(args.outputs.begin(), args.outputs.end());
    for (Conversion& c : before) {
      inputs[c.index()] = c.inner(args.scratch);
      c.run(args.inputs[c.index()].data, inputs[c.index()].data, args.scratch);
    }
    for (const Conversion& c : after)
      if (args.outputs[c.index()].data) outputs[c.index()] = c.inner(args.scratch);
    kernel.run({inputs, outputs, args.scratch + kernel_at});
    for (Conversion& c : after)
      if (args.outputs[c.index()].data)
        c.run(outputs[c.index()].data, args.outputs[c.index()].data, args.scratch);
  };
  return {run, scratch.bytes()};
}

/// Whether the node's kernel can leave moments of its first output.
bool leaves_moments(const Graph& graph, const Node& node, int threads) {
  const MakerContext context{graph, node, {}, threads};
  if (node.op->name == "conv2d") return gathers_moments(conv_shape(context));
  if (node.body) return is_fused_conv(context);
  return node.op->name == "max_pool";
}

/// For each value that a fused norm reads, where the node that makes it leaves the moments that the
/// norm needs. By ValueId.index; null for all others.
std::vector<std::shared_ptr<Moments>> moments_of(const Graph& graph, int threads) {
  std::vector<std::shared_ptr<Moments>> result(graph.values().size());
  for (const Node& node : graph.nodes()) {
    const ValueId x = norm_input(node);
    if (!x.valid() || graph.is_leaf(x)) continue;
    const Node& maker = graph.node(graph.value(x).producer);
    if (maker.outputs[0] == x && leaves_moments(graph, maker, threads))
      result[at(x)] = std::make_shared<Moments>(graph.type(x).shape[1], threads);
  }
  return result;
}

void check_types(const Graph& graph, const Node& node) {
  const auto check = [&](ValueId value) {
    if (!value.valid()) return;
    const DType dtype = graph.type(value).dtype;
    if (is_real(dtype) && dtype != DType::f32 && dtype != DType::bf16)
      throw Error(fmt::format("backend 'onednn' computes in f32 and bf16, '{}' is over {}",
                              node.op->name, graph.type(value).str()),
                  node.where);
  };
  std::ranges::for_each(node.inputs, check);
  std::ranges::for_each(node.outputs, check);
}

}  // namespace

std::vector<Kernel> lower(const Graph& graph, const MemoryPlan* plan, int threads) {
  const std::vector<bool> stays_dense = dense_values(graph, plan);
  const std::vector<std::shared_ptr<Moments>> moments = moments_of(graph, threads);
  std::vector<Layout> layouts(graph.values().size(), Layout::dense);
  std::vector<Kernel> kernels;
  for (const Node& node : graph.nodes()) {
    check_types(graph, node);
    const Maker* maker = find_maker(node.op->name);
    if (!maker)
      throw Error(fmt::format("backend 'onednn' has no kernel for '{}'", node.op->name),
                  node.where);
    std::vector<Layout> inputs;
    for (ValueId in : node.inputs) inputs.push_back(in.valid() ? layouts[at(in)] : Layout::dense);
    const auto moments_at = [&](ValueId value) {
      return value.valid() ? moments[at(value)] : nullptr;
    };
    const ValueId y = node.outputs.empty() ? ValueId() : node.outputs[0];
    Made made =
        maker->make({graph, node, inputs, threads, moments_at(norm_input(node)), moments_at(y)});
    const bool read = !plan || std::ranges::any_of(node.outputs, [&](ValueId out) {
      return plan->placements[at(out)].kind != Placement::Kind::none;
    });
    if (!read) made.kernel = {[](const KernelArgs&) {}};

    ScratchPlan scratch;
    std::vector<Conversion> before, after;
    const auto taken = [&](const TensorType& type) {
      return made.typed || type.dtype != DType::bf16 ? type.dtype : DType::f32;
    };
    for (size_t k = 0; k < node.inputs.size(); ++k) {
      if (!node.inputs[k].valid()) continue;
      const TensorType& type = graph.type(node.inputs[k]);
      const Form from{inputs[k], type.dtype}, to{made.inputs[k], taken(type)};
      if (!same_form(from, to, type)) before.emplace_back(k, type, from, to, to, threads, scratch);
    }
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      const ValueId out = node.outputs[k];
      const TensorType& type = graph.type(out);
      layouts[at(out)] = stays_dense[at(out)] ? Layout::dense : made.outputs[k];
      const Form from{made.outputs[k], taken(type)}, to{layouts[at(out)], type.dtype};
      if (!same_form(from, to, type)) after.emplace_back(k, type, from, to, from, threads, scratch);
    }
    if (before.empty() && after.empty())
      kernels.push_back(std::move(made.kernel));
    else
      kernels.push_back(convert(std::move(made.kernel), before, after, scratch));
  }
  return kernels;
}

}  // namespace expgraph::onednn
