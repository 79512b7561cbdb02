// schedules: a schedule node and a step -> its value.
#pragma once

#include "core/ir/op_schema.h"

namespace expgraph {

/// Value of a schedule operator in a step.
double schedule_value(const OpSchema& op, const Attributes& attributes, const ScheduleTime& time);

}  // namespace expgraph
