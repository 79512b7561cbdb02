// common: attributes -> the geometry of a window.
#include "core/ops/common.h"

namespace expgraph {

Pair pair(const Attributes& attributes, std::string_view name) {
  const std::vector<int64_t>& numbers = attributes.integers(name);
  return {numbers.front(), numbers.back()};
}

Window conv_window(const Attributes& attributes, const Shape& weights) {
  const Pair stride = pair(attributes, "stride");
  const Pair padding = pair(attributes, "padding");
  return {weights[2], weights[3], stride.height, stride.width, padding.height, padding.width};
}

Window pool_window(const Attributes& attributes, int64_t height, int64_t width) {
  const Pair size = pair(attributes, "size");
  if (size.height == 0) return {height, width, height, width, 0, 0};
  const Pair stride = attributes.integers("stride").empty() ? size : pair(attributes, "stride");
  const Pair padding = pair(attributes, "padding");
  return {size.height, size.width, stride.height, stride.width, padding.height, padding.width};
}

}  // namespace expgraph
