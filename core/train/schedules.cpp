// schedules: a schedule node and a time in epochs -> its value.
#include "core/train/schedules.h"

namespace expgraph {

double schedule_value(const OpSchema& op, const Attributes& attributes, double epoch) {
  EXPGRAPH_CHECK(op.schedule != nullptr);
  return op.schedule(attributes, epoch);
}

}  // namespace expgraph
