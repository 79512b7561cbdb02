// dnnl: oneDNN primitives as this backend uses them: made once, given pointers at each run.
#pragma once

#include <dnnl.hpp>
#include <memory>
#include <string>

#include "backends/onednn/layout.h"

namespace expgraph::onednn {

const dnnl::engine& cpu_engine();

/// A value of that type, lying so; in f32 where the type is bf16.
dnnl::memory::desc describe(const TensorType& type, Layout layout);

/// A primitive with its arguments; scratchpads are the caller's (primitive_options()).
class Call {
 public:
  explicit Call(dnnl::primitive primitive);
  void argument(int id, const dnnl::memory::desc& description);
  void bind(int id, const void* data);
  void run();

 private:
  dnnl::primitive primitive_;
  dnnl::stream stream_;
  std::unordered_map<int, dnnl::memory> arguments_;
};

/// Attributes of every primitive here: the scratchpad is an argument.
dnnl::primitive_attr primitive_options();

/// Copies between two descriptions of the same shape.
class Reorder {
 public:
  Reorder(const dnnl::memory::desc& from, const dnnl::memory::desc& to);
  int64_t scratch_bytes() const { return scratch_bytes_; }
  void run(const void* from, void* to, std::byte* scratch);

 private:
  Reorder(const dnnl::reorder::primitive_desc& description);
  std::shared_ptr<Call> call_;
  int64_t scratch_bytes_ = 0;
};

/// Caps the instruction set where it cannot be trusted (a virtual machine that reports AMX but
/// hides its palette dies in bf16 products). Before the first primitive. Says what it did, or "".
std::string limit_instruction_set();

/// "avx512_core" and the like: the largest instruction set that oneDNN uses here.
std::string isa_name();

}  // namespace expgraph::onednn
