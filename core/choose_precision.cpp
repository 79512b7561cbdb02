// choose_precision: `precision: auto` -> what a training step is fastest in here, measured.
#include "core/choose_precision.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/bench.h"
#include "core/passes/precision.h"
#include "core/passes/target.h"
#include "core/precision_of.h"

namespace expgraph {
namespace {

constexpr int kSteps = 3;
constexpr double kWorthIt = 0.9;  // of the time in fp32; closer, noise would choose

}  // namespace

FlatSpec in_precision(FlatSpec pipeline, const std::string& name) {
  SpecNode* train = pipeline.find("train");
  EXPGRAPH_CHECK(train != nullptr);
  AttributeSpec* attribute = train->find("precision");
  EXPGRAPH_CHECK(attribute != nullptr);
  attribute->value.scalar = name;
  return pipeline;
}

std::optional<PrecisionChoice> choose_precision(const FlatSpec& pipeline, const Backend& backend,
                                                int threads) {
  if (!is_precision_auto(pipeline)) return std::nullopt;
  const std::vector<DType>& types = target(backend.name()).types;
  if (std::ranges::find(types, DType::bf16) == types.end())
    return PrecisionChoice{"fp32", fmt::format("backend '{}' has no other", backend.name())};
  std::optional<Error> failure;
  const auto seconds = [&](const char* name) -> std::optional<double> {
    try {
      const BenchOptions options{
          .steps = kSteps, .warm_up = 1, .threads = threads, .profile = false};
      return bench(in_precision(pipeline, name), backend, options).median_s;
    } catch (const Error& error) {
      if (!failure) failure = error;
      return std::nullopt;
    }
  };
  const std::optional<double> fp32 = seconds("fp32"), bf16 = seconds("bf16");
  if (!fp32 && !bf16) throw *failure;
  if (!fp32) return PrecisionChoice{"bf16", fmt::format("in fp32 {}", failure->what())};
  if (!bf16) return PrecisionChoice{"fp32", fmt::format("in bf16 {}", failure->what())};
  return PrecisionChoice{
      *bf16 < kWorthIt * *fp32 ? "bf16" : "fp32",
      fmt::format("a step takes {:.4g} ms in bf16, {:.4g} ms in fp32 (medians of {} steps)",
                  1e3 * *bf16, 1e3 * *fp32, kSteps)};
}

}  // namespace expgraph
