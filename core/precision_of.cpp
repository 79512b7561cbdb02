// precision_of: what a pipeline says of the precision of its steps -> an element type.
#include "core/precision_of.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace expgraph {

DType precision_of(const FlatSpec& pipeline) {
  const SpecNode* train = pipeline.find("train");
  const AttributeSpec* precision = train == nullptr ? nullptr : train->find("precision");
  if (precision == nullptr) return DType::f32;
  const auto dtype = parse_precision(precision->value.scalar);
  if (precision->value.is_scalar() && dtype) return *dtype;
  throw Error(fmt::format("'precision' is {}, got '{}'", fmt::join(precision_names(), ", "),
                          precision->value.scalar),
              precision->value.where);
}

}  // namespace expgraph
