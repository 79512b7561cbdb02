// families: the operator records, a function a family. Adding a family: here, registry.cpp.
#pragma once

#include <vector>

#include "core/ir/op_schema.h"

namespace expgraph {

std::vector<OpSchema> elementwise_ops();
std::vector<OpSchema> shape_ops();
std::vector<OpSchema> reduce_ops();
std::vector<OpSchema> matmul_ops();
std::vector<OpSchema> conv_ops();
std::vector<OpSchema> pool_ops();
std::vector<OpSchema> norm_ops();
std::vector<OpSchema> loss_ops();
std::vector<OpSchema> update_ops();
std::vector<OpSchema> schedule_ops();
std::vector<OpSchema> adaptive_ops();
std::vector<OpSchema> average_ops();
std::vector<OpSchema> loss_scale_ops();
std::vector<OpSchema> data_ops();
std::vector<OpSchema> start_ops();
std::vector<OpSchema> augment_ops();
std::vector<OpSchema> fusion_ops();

}  // namespace expgraph
