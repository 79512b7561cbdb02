// precision: the element type in which a step computes, as users name it, and the pass that brings
// it in.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/ir/graph.h"

namespace expgraph {

/// "fp32", "bf16", "fp16".
std::optional<DType> parse_precision(std::string_view name);
std::string_view precision_name(DType dtype);
const std::vector<std::string>& precision_names();

/// A forward graph in f32 -> the same over values of `compute` (f16 or bf16), with explicit casts.
/// States stay f32 (masters): a parameter is cast where the operator's state rule, given inputs of
/// that type, says so; statistics and parameters of normalisation are not. Metrics (losses among
/// them) and operators that do not take the type read f32, as does who reads results and updates.
/// `followed`: values kept besides results and updates; replaced by their ids in what is returned.
Graph precision(const Graph& graph, DType compute, std::span<ValueId> followed = {});

}  // namespace expgraph
