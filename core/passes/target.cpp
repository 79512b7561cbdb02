// target: the backends that the compiler knows, as data.
#include "core/passes/target.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/support/diagnostics.h"
#include "core/support/suggest.h"

namespace expgraph {
namespace {

/// Normalisation with what follows it, and the same backwards.
const std::vector<FusionPattern>& norm_fusions() {
  static const std::vector<FusionPattern> patterns = {
      {"batch_norm_pool_relu", {"batch_norm", "max_pool", "relu"}},
      {"batch_norm_inference_pool_relu", {"batch_norm_inference", "max_pool", "relu"}},
      {"batch_norm_apply_pool_relu", {"batch_norm_apply", "max_pool", "relu"}},
      {"relu_pool_batch_norm_backward",
       {"relu_backward", "max_pool_backward", "batch_norm_backward"}},
      {"batch_norm_relu", {"batch_norm", "relu"}},
      {"batch_norm_pool", {"batch_norm", "max_pool"}},
      {"batch_norm_celu", {"batch_norm", "celu"}},
      {"batch_norm_gelu", {"batch_norm", "gelu"}},
      {"batch_norm_inference_relu", {"batch_norm_inference", "relu"}},
      {"batch_norm_inference_celu", {"batch_norm_inference", "celu"}},
      {"batch_norm_inference_gelu", {"batch_norm_inference", "gelu"}},
      {"batch_norm_apply_relu", {"batch_norm_apply", "relu"}},
      {"batch_norm_apply_celu", {"batch_norm_apply", "celu"}},
      {"batch_norm_apply_gelu", {"batch_norm_apply", "gelu"}},
      {"relu_batch_norm_backward", {"relu_backward", "batch_norm_backward"}},
      {"celu_batch_norm_backward", {"celu_backward", "batch_norm_backward"}},
      {"gelu_batch_norm_backward", {"batch_norm_apply", "gelu_backward", "batch_norm_backward"}},
      {"pool_batch_norm_backward", {"max_pool_backward", "batch_norm_backward"}},
  };
  return patterns;
}

std::vector<FusionPattern> onednn_fusions() {
  std::vector<FusionPattern> patterns = norm_fusions();
  patterns.push_back(
      {"relu_batch_norm_backward", {"batch_norm_apply", "relu_backward", "batch_norm_backward"}});
  patterns.push_back({"batch_norm_relu_add", {"batch_norm", "relu", "add"}});
  patterns.push_back({"batch_norm_apply_relu_add", {"batch_norm_apply", "relu", "add"}});
  patterns.push_back({"conv2d_pool", {"conv2d", "max_pool"}, DType::f32});
  patterns.push_back({"gelu_backward_sum", {"gelu_backward", "channel_sum"}});
  return patterns;
}

/// With what training makes of a parameter after its update.
std::vector<FusionPattern> libtorch_fusions() {
  std::vector<FusionPattern> patterns = norm_fusions();
  patterns.push_back({.name = "sgd_update_lookahead",
                      .ops = {"sgd_update", "average_update", "choose"},
                      .links = {Link::members, Link::anyone}});
  patterns.push_back({.name = "sgd_update_average",
                      .ops = {"sgd_update", "average_update"},
                      .links = {Link::anyone}});
  patterns.push_back(
      {.name = "lookahead", .ops = {"average_update", "choose"}, .links = {Link::anyone}});
  return patterns;
}

const std::vector<Target>& targets() {
  static const std::vector<Target> all = {
      {.name = "onednn",
       .fusions = onednn_fusions(),
       .types = {DType::f32, DType::bf16},
       .recompute = true,
       .update_early = true},
      {.name = "libtorch",
       .fusions = libtorch_fusions(),
       .types = {DType::f32, DType::f64, DType::bf16, DType::f16},
       .feed = {.ops = {"normalise", "pad", "random_crop", "random_flip", "cutout"}, .most = 8}},
      {.name = "reference",
       .fusions = {},
       .types = {DType::f32, DType::f64, DType::bf16, DType::f16}},
  };
  return all;
}

}  // namespace

bool FeedFusion::takes(std::span<const std::string_view> chain) const {
  const auto known = [&](std::string_view op) { return std::ranges::find(ops, op) != ops.end(); };
  return !ops.empty() && chain.size() <= most && std::ranges::all_of(chain, known);
}

const Target& target(std::string_view backend) {
  const auto found = std::ranges::find(targets(), backend, &Target::name);
  if (found != targets().end()) return *found;
  Error error(fmt::format("there is no backend '{}'", backend), {}, ExitCode::usage);
  const std::string near = did_you_mean(backend, target_names());
  throw error.note(near.empty() ? fmt::format("backends are {}", fmt::join(target_names(), ", "))
                                : near);
}

std::vector<std::string> target_names() {
  std::vector<std::string> names;
  for (const Target& known : targets()) names.push_back(known.name);
  return names;
}

}  // namespace expgraph
