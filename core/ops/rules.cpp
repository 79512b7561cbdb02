// rules: the checks and costs that operator records share.
#include "core/ops/rules.h"

#include <fmt/format.h>

#include <algorithm>

namespace expgraph::rules {
namespace {

constexpr int64_t kMaxPair = 1'000'000;
/// Small enough that costs of many nodes add up without overflow.
constexpr int64_t kMaxCost = int64_t{1} << 56;

std::string_view name_of(const InferContext& context, size_t k) {
  return context.op.inputs[std::min(k, context.op.inputs.size() - 1)].name;
}

}  // namespace

std::string described(const InferContext& context, size_t k) {
  return fmt::format("{} is {}", name_of(context, k), context.input(k).str());
}

void require_float(const InferContext& context, size_t k) {
  if (is_real(context.input(k).dtype)) return;
  context.fail(
      fmt::format("{}, {} expects floating point numbers", described(context, k), context.op.name));
}

void require_scalar(const InferContext& context, size_t k) {
  require_float(context, k);
  if (context.input(k).rank() == 0) return;
  context.fail(fmt::format("{}, {} expects a scalar", described(context, k), context.op.name));
}

void require_dtype(const InferContext& context, size_t k, DType dtype) {
  if (context.input(k).dtype == dtype) return;
  context.fail(fmt::format("{}, {} expects {} elements", described(context, k), context.op.name,
                           to_string(dtype)));
}

void require_rank(const InferContext& context, size_t k, int64_t rank, std::string_view layout) {
  if (context.input(k).rank() == rank) return;
  context.fail(fmt::format("{}, {} expects {}", described(context, k), context.op.name, layout));
}

void require_type(const InferContext& context, size_t k, const TensorType& expected,
                  std::string_view why) {
  if (context.input(k) == expected) return;
  context.fail(fmt::format("{}, expected {} ({})", described(context, k), expected.str(), why));
}

void require_channels(const InferContext& context, size_t k) {
  require_float(context, k);
  const int64_t rank = context.input(k).rank();
  if (rank == 2 || rank == 4) return;
  context.fail(
      fmt::format("{}, {} expects [N, C] or [N, C, H, W]", described(context, k), context.op.name));
}

void require_at_least(const InferContext& context, std::string_view attribute, int64_t least) {
  const int64_t value = context.attributes.integer(attribute);
  if (value >= least) return;
  context.fail_value(attribute,
                     fmt::format("{} is {}, expected at least {}", attribute, value, least));
}

void require_range(const InferContext& context, std::string_view attribute, double low, double high,
                   bool closed) {
  const double value = context.attributes.real(attribute);
  if (value >= low && (closed ? value <= high : value < high)) return;
  context.fail_value(attribute, fmt::format("{} is {}, expected at least {} and {} {}", attribute,
                                            value, low, closed ? "at most" : "less than", high));
}

Pair require_pair(const InferContext& context, std::string_view attribute, int64_t least) {
  const std::vector<int64_t>& numbers = context.attributes.integers(attribute);
  if (numbers.empty() || numbers.size() > 2) {
    context.fail_value(attribute, fmt::format("{} has {} numbers, expected one or two", attribute,
                                              numbers.size()));
  }
  for (const int64_t number : numbers) {
    if (number < least) {
      context.fail_value(attribute,
                         fmt::format("{} is {}, expected at least {}", attribute, number, least));
    }
    if (number > kMaxPair) {
      context.fail_value(attribute,
                         fmt::format("{} is {}, expected at most {}", attribute, number, kMaxPair));
    }
  }
  return pair(context.attributes, attribute);
}

int64_t product(int64_t a, int64_t b) {
  int64_t result = 0;
  return __builtin_mul_overflow(a, b, &result) ? kMaxCost : std::min(result, kMaxCost);
}

int64_t bytes_moved(const InferContext& context, std::span<const TensorType> outputs) {
  int64_t bytes = 0;
  for (const TensorType* input : context.inputs) bytes += input == nullptr ? 0 : input->bytes();
  for (const TensorType& output : outputs) bytes += output.bytes();
  return bytes;
}

Cost copy_cost(const InferContext& context, std::span<const TensorType> outputs) {
  return {.bytes = bytes_moved(context, outputs)};
}

Cost flop_cost(const InferContext& context, std::span<const TensorType> outputs, int64_t flops) {
  return {.flops = flops, .bytes = bytes_moved(context, outputs)};
}

Cost mac_cost(const InferContext& context, std::span<const TensorType> outputs, int64_t macs) {
  return {.macs = macs, .flops = product(2, macs), .bytes = bytes_moved(context, outputs)};
}

}  // namespace expgraph::rules
