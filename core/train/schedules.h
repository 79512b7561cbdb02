// schedules: a schedule node and a time in epochs -> its value.
#pragma once

#include "core/ir/op_schema.h"

namespace expgraph {

/// Value of a schedule operator at `epoch` (0 = start, 1.5 = half through the second epoch).
double schedule_value(const OpSchema& op, const Attributes& attributes, double epoch);

}  // namespace expgraph
