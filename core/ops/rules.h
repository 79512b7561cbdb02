// rules: the checks and costs that operator records share.
#pragma once

#include <string>
#include <string_view>

#include "core/ir/op_schema.h"
#include "core/ops/common.h"

namespace expgraph::rules {

/// Text of input k for messages: "x is f32[8,10]".
std::string described(const InferContext& context, size_t k);

void require_float(const InferContext& context, size_t k);
void require_scalar(const InferContext& context, size_t k);
void require_dtype(const InferContext& context, size_t k, DType dtype);
/// `layout` names the dimensions: "[N, C, H, W]"; its rank is `rank`.
void require_rank(const InferContext& context, size_t k, int64_t rank, std::string_view layout);
/// Input k must be exactly `expected`; `why` says whose type that is: "the type of y".
void require_type(const InferContext& context, size_t k, const TensorType& expected,
                  std::string_view why);
/// Rank 2 or 4 with channels at axis 1, floating point.
void require_channels(const InferContext& context, size_t k);

void require_at_least(const InferContext& context, std::string_view attribute, int64_t least);
/// low <= value, and value < high or value <= high when `closed`.
void require_range(const InferContext& context, std::string_view attribute, double low, double high,
                   bool closed);
/// A pair attribute: one or two numbers, each at least `least` and at most a million (so that sums
/// of sizes cannot overflow).
Pair require_pair(const InferContext& context, std::string_view attribute, int64_t least);

/// A product of costs that stops at 2^56 instead of overflowing.
int64_t product(int64_t a, int64_t b);

/// Bytes of all inputs and outputs.
int64_t bytes_moved(const InferContext& context, std::span<const TensorType> outputs);
/// No arithmetic: bytes alone.
Cost copy_cost(const InferContext& context, std::span<const TensorType> outputs);
/// `flops` floating point operations.
Cost flop_cost(const InferContext& context, std::span<const TensorType> outputs, int64_t flops);
/// `macs` multiply-accumulates.
Cost mac_cost(const InferContext& context, std::span<const TensorType> outputs, int64_t macs);

}  // namespace expgraph::rules
