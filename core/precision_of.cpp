// precision_of: what a pipeline says of the precision of its steps -> an element type.
#include "core/precision_of.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace expgraph {
namespace {

constexpr std::string_view kAuto = "auto";

const AttributeSpec* given(const FlatSpec& pipeline) {
  const SpecNode* train = pipeline.find("train");
  return train == nullptr ? nullptr : train->find("precision");
}

}  // namespace

bool is_precision_auto(const FlatSpec& pipeline) {
  const AttributeSpec* precision = given(pipeline);
  return precision != nullptr && precision->value.is_scalar() && precision->value.scalar == kAuto;
}

DType precision_of(const FlatSpec& pipeline) {
  const AttributeSpec* precision = given(pipeline);
  if (precision == nullptr) return DType::f32;
  const std::string& name = precision->value.scalar;
  const auto dtype = parse_precision(name);
  if (precision->value.is_scalar() && dtype) return *dtype;
  if (is_precision_auto(pipeline)) {
    throw Error("precision 'auto' is measured by 'run' and 'bench' alone", precision->value.where)
        .note("--precision fp32 or bf16 says what to take here");
  }
  throw Error(fmt::format("'precision' is {}, {}, got '{}'", fmt::join(precision_names(), ", "),
                          kAuto, name),
              precision->value.where);
}

}  // namespace expgraph
