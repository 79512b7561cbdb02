// tensor_type: element types and shapes <-> text, sizes.
#include "core/ir/tensor_type.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <charconv>
#include <limits>

namespace expgraph {
namespace {

struct DTypeInfo {
  DType dtype;
  std::string_view name;
  int64_t bytes;
};

constexpr std::array kDTypes = {
    DTypeInfo{DType::f32, "f32", 4},   DTypeInfo{DType::f64, "f64", 8},
    DTypeInfo{DType::bf16, "bf16", 2}, DTypeInfo{DType::f16, "f16", 2},
    DTypeInfo{DType::i32, "i32", 4},   DTypeInfo{DType::u8, "u8", 1},
};

const DTypeInfo& info(DType dtype) {
  for (const DTypeInfo& candidate : kDTypes) {
    if (candidate.dtype == dtype) return candidate;
  }
  return kDTypes[0];
}

int64_t saturating_product(int64_t a, int64_t b) {
  int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? std::numeric_limits<int64_t>::max() : product;
}

}  // namespace

std::string_view to_string(DType dtype) { return info(dtype).name; }

std::optional<DType> parse_dtype(std::string_view text) {
  for (const DTypeInfo& candidate : kDTypes) {
    if (candidate.name == text) return candidate.dtype;
  }
  return std::nullopt;
}

int64_t size_of(DType dtype) { return info(dtype).bytes; }

int64_t TensorType::elements() const {
  int64_t count = 1;
  for (const int64_t dimension : shape) count = saturating_product(count, dimension);
  return count;
}

int64_t TensorType::bytes() const { return saturating_product(elements(), size_of(dtype)); }

std::string TensorType::str() const {
  return fmt::format("{}[{}]", to_string(dtype), fmt::join(shape, ","));
}

std::optional<TensorType> parse_tensor_type(std::string_view text) {
  const size_t open = text.find('[');
  if (open == std::string_view::npos || text.back() != ']') return std::nullopt;
  const std::optional<DType> dtype = parse_dtype(text.substr(0, open));
  if (!dtype) return std::nullopt;
  TensorType type{*dtype, {}};
  std::string_view rest = text.substr(open + 1, text.size() - open - 2);
  while (!rest.empty()) {
    int64_t dimension = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), dimension);
    if (error != std::errc{} || dimension < 0) return std::nullopt;
    type.shape.push_back(dimension);
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
    if (rest.empty()) break;
    if (rest.front() != ',' || rest.size() == 1) return std::nullopt;
    rest.remove_prefix(1);
  }
  return type;
}

}  // namespace expgraph
