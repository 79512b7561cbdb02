// dnnl: oneDNN primitives as this backend uses them.
#include "backends/onednn/dnnl.h"

#include "core/support/amx.h"
#include "core/support/diagnostics.h"

namespace expgraph::onednn {

namespace {

dnnl::memory::data_type data_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
    case DType::bf16:  // widened before a primitive sees it
      return dnnl::memory::data_type::f32;
    case DType::i32:
      return dnnl::memory::data_type::s32;
    case DType::u8:
      return dnnl::memory::data_type::u8;
    case DType::f64:
    case DType::f16:
      break;
  }
  check_failed("an element type of this backend", __FILE__, __LINE__);
}

}  // namespace

const dnnl::engine& cpu_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::memory::desc describe(const TensorType& type, Layout layout) {
  const dnnl::memory::dims shape(type.shape.begin(), type.shape.end());
  if (layout != Layout::dense && type.rank() == 4)
    return {shape, data_type(type.dtype), dnnl::memory::format_tag::nhwc};
  dnnl::memory::dims strides(shape.size(), 1);
  for (size_t axis = shape.size(); axis-- > 1;) strides[axis - 1] = strides[axis] * shape[axis];
  return {shape, data_type(type.dtype), strides};
}

Call::Call(dnnl::primitive primitive) : primitive_(std::move(primitive)), stream_(cpu_engine()) {}

void Call::argument(int id, const dnnl::memory::desc& description) {
  arguments_.emplace(id, dnnl::memory(description, cpu_engine(), DNNL_MEMORY_NONE));
}

void Call::bind(int id, const void* data) {
  arguments_.at(id).set_data_handle(const_cast<void*>(data));
}

void Call::run() { primitive_.execute(stream_, arguments_); }

dnnl::primitive_attr primitive_options() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

Reorder::Reorder(const dnnl::memory::desc& from, const dnnl::memory::desc& to)
    : Reorder(dnnl::reorder::primitive_desc(cpu_engine(), from, cpu_engine(), to,
                                            primitive_options())) {}

Reorder::Reorder(const dnnl::reorder::primitive_desc& description)
    : call_(std::make_shared<Call>(dnnl::reorder(description))),
      scratch_bytes_(static_cast<int64_t>(description.scratchpad_desc().get_size())) {
  call_->argument(DNNL_ARG_FROM, description.src_desc());
  call_->argument(DNNL_ARG_TO, description.dst_desc());
  call_->argument(DNNL_ARG_SCRATCHPAD, description.scratchpad_desc());
}

void Reorder::run(const void* from, void* to, std::byte* scratch) {
  call_->bind(DNNL_ARG_FROM, from);
  call_->bind(DNNL_ARG_TO, to);
  call_->bind(DNNL_ARG_SCRATCHPAD, scratch);
  call_->run();
}

std::string limit_instruction_set() {
  if (amx() != Amx::hidden) return "";
  if (dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx512_core_fp16) != dnnl::status::success) return "";
  return "AMX without a tile palette: kept from oneDNN";
}

std::string isa_name() {
  using Isa = dnnl::cpu_isa;
  switch (dnnl::get_effective_cpu_isa()) {
    case Isa::sse41:
      return "SSE4.1";
    case Isa::avx:
      return "AVX";
    case Isa::avx2:
      return "AVX2";
    case Isa::avx2_vnni:
    case Isa::avx2_vnni_2:
      return "AVX2 VNNI";
    case Isa::avx512_core:
      return "AVX-512";
    case Isa::avx512_core_vnni:
      return "AVX-512 VNNI";
    case Isa::avx512_core_bf16:
      return "AVX-512 BF16";
    case Isa::avx512_core_fp16:
      return "AVX-512 FP16";
    case Isa::avx512_core_amx:
    case Isa::avx512_core_amx_fp16:
      return "AMX";
    case Isa::isa_default:
      break;
  }
  return "no vector instructions";
}

}  // namespace expgraph::onednn
