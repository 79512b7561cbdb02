// schedules: a schedule node and a step -> its value.
#include "core/train/schedules.h"

namespace expgraph {

double schedule_value(const OpSchema& op, const Attributes& attributes, const ScheduleTime& time) {
  EXPGRAPH_CHECK(op.schedule != nullptr);
  return op.schedule(attributes, time);
}

}  // namespace expgraph
