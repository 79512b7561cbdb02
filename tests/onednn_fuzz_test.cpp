// onednn_fuzz: operators and fusions of odd sizes on onednn, between guard zones, with 1, 2 and 3
// threads, against reference in double.
//
// EXPGRAPH_FUZZ_SECONDS=S: other cases for so long, larger ones among them.
// EXPGRAPH_FUZZ_SEED=N: the case of that seed alone.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <hwy/targets.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <set>

#include "core/passes/passes.h"
#include "core/passes/precision.h"
#include "core/support/half.h"
#include "tests/support/fuzz_case.h"
#include "tests/support/guarded_run.h"
#include "tests/support/planted.h"

using namespace expgraph;
using namespace expgraph::test;

namespace {

constexpr uint32_t kCases = 289;  // of a quick run

/// Errors that rounding may leave are this times the unit roundoff, the square root of the number
/// of terms that are summed on the way to a value (they add up as a random walk), and the largest
/// value, or 1. Sums of n terms one by one need about 1; algorithms by tiles add and subtract
/// before they multiply.
constexpr double kRounding = 8.0 / (1 << 24);

OpCase fuzz_case(uint32_t seed) { return test::fuzz_case(seed, target("onednn").fusions); }

Tensor in_double(const Tensor& from) {
  TensorType type = from.type;
  if (type.dtype != DType::f32) return from;
  type.dtype = DType::f64;
  Tensor to(type);
  const std::vector<double> values = from.values();
  std::memcpy(to.bytes.data(), values.data(), to.bytes.size());
  return to;
}

/// Samples and images are bytes or f32; what is done to them is not done in double.
bool over_samples(const Graph& graph) {
  return std::ranges::any_of(graph.nodes(), [](const Node& node) {
    return node.op->family == "data" || node.op->family == "augment";
  });
}

/// In bf16 a value is rounded once or twice on the way to a result, by a 512th each.
constexpr double kShortRounding = 4.0 / (1 << 9);

/// Reals that bf16 holds, so that casts to it change nothing.
Tensors rounded(Tensors inputs) {
  for (auto& [name, tensor] : inputs) {
    if (tensor.type.dtype != DType::f32) continue;
    for (int64_t i = 0; i < tensor.type.elements(); ++i)
      tensor.set(i, bf16_to_float(float_to_bf16(static_cast<float>(tensor.at(i)))));
  }
  return inputs;
}

/// What the graph means.
Tensors oracle(const Graph& graph, const Tensors& inputs) {
  const bool exact = !over_samples(graph);
  const Graph meant = exact ? to_double(graph) : graph;
  Tensors values;
  for (const auto& [name, tensor] : inputs)
    values.emplace(name, exact ? in_double(tensor) : tensor);
  return guarded_run(load_backend("reference"), meant, guarded_plan(meant), values).results;
}

/// A relu after a normalisation cuts where rounding must not decide: each channel's bias, if there
/// is one, puts zero into the middle of the widest gap of its values.
OpCase settled(OpCase c) {
  const bool cuts =
      std::ranges::any_of(c.ops, [](const OpSchema* op) { return op->name == "relu"; });
  if (c.ops.size() == 1 || !cuts) return c;
  const auto channels = static_cast<size_t>(c.inputs[0]->shape[1]);
  c.values["bias"].assign(channels, 0.0);
  OpCase head = c;
  head.ops.resize(1);
  head.attributes.resize(1);
  const Graph graph = forward_graph(head);
  const Tensor y = oracle(graph, make_inputs(head, graph)).at("y");
  const std::vector<double> values = y.values();
  const auto plane = static_cast<size_t>(y.type.shape[2] * y.type.shape[3]);
  for (size_t channel = 0; channel < channels; ++channel) {
    std::vector<double> own;
    for (size_t i = 0; i < values.size(); ++i)
      if (i / plane % channels == channel) own.push_back(values[i]);
    std::ranges::sort(own);
    const size_t first = own.size() / 4;
    size_t widest = first;
    for (size_t i = first; i + 1 < own.size() - first; ++i)
      if (own[i + 1] - own[i] > own[widest + 1] - own[widest]) widest = i;
    c.values["bias"][channel] = -(own[widest] + own[widest + 1]) / 2;
  }
  return c;
}

/// Terms summed on the way to each value: what a node adds is its work for an element of its
/// smallest output.
std::map<std::string, double> terms_of_results(const Graph& graph) {
  std::vector<double> terms(graph.values().size(), 0);
  const auto of = [&](ValueId value) -> double& { return terms[static_cast<size_t>(value.index)]; };
  for (const Node& node : graph.nodes()) {
    double most = 0;
    for (ValueId in : node.inputs)
      if (in.valid()) most = std::max(most, of(in));
    int64_t least = graph.type(node.outputs[0]).elements();
    for (ValueId out : node.outputs) least = std::min(least, graph.type(out).elements());
    const double own = static_cast<double>(cost_of(graph, node).flops) / static_cast<double>(least);
    for (ValueId out : node.outputs) of(out) = most + std::max(own, 1.0);
  }
  std::map<std::string, double> named;
  for (const Result& result : graph.results()) named[result.name] = of(result.value);
  return named;
}

/// Errors of a mean grow by what the difference from it is multiplied with.
double condition(const Tensors& want) {
  double largest = 1;
  for (const auto& [name, tensor] : want)
    if (name.ends_with("inverse_std"))
      for (const double value : tensor.values()) largest = std::max(largest, value);
  return largest;
}

bool same_bytes(const Tensors& a, const Tensors& b) {
  return std::ranges::equal(a, b, [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.bytes == y.second.bytes;
  });
}

class Check {
 public:
  Check(const OpCase& c, const Backend& tested, DType compute)
      : c_(c),
        tested_(tested),
        short_(compute == DType::bf16),
        graph_(whole_graph(c)),
        inputs_(short_ ? rounded(make_inputs(c, graph_)) : make_inputs(c, graph_)),
        want_(oracle(graph_, inputs_)),
        terms_(terms_of_results(graph_)),
        condition_(condition(want_)) {}

  /// What is wrong, each a line; empty when onednn does what reference does.
  std::vector<std::string> faults() {
    const Graph graph = short_ ? precision(graph_, DType::bf16) : graph_;
    if (short_ && graph.nodes().size() == graph_.nodes().size()) return {};  // nothing to cast
    // Rounded between the operators of a chain, equals would be largest in a window.
    if (!short_ || c_.ops.size() == 1) run("as it is", graph);
    const Graph fused = fused_for(target("onednn"), graph);
    if (std::ranges::any_of(fused.nodes(), [](const Node& n) { return n.body != nullptr; }))
      run("fused", fused);
    return std::move(faults_);
  }

 private:
  void run(const std::string& how, const Graph& graph) {
    const MemoryPlan plan = guarded_plan(graph);
    for (int threads = 1; threads <= 3; ++threads) {
      const std::string place = fmt::format("{}, {} threads", how, threads);
      const GuardedRun first = guarded_run(tested_, graph, plan, inputs_, {}, threads);
      for (const std::string& fault : first.faults) add(place, fault);
      for (const auto& [name, got] : first.results) {
        const double allowed =
            kRounding * std::sqrt(terms_.at(name)) * condition_ + (short_ ? kShortRounding : 0);
        const std::string fault = difference(want_.at(name), got, allowed, 1);
        if (!fault.empty()) add(place, name + ": " + fault);
      }
      const GuardedRun again = guarded_run(tested_, graph, plan, inputs_, {}, threads);
      if (!same_bytes(first.results, again.results)) add(place, "other bits at the second run");
      if (threads != 2) continue;
      const MemoryPlan tight = plan_memory(graph, target("onednn"));
      const GuardedRun planned = guarded_run(tested_, graph, tight, inputs_, {}, threads);
      for (const std::string& fault : planned.faults) add(place + ", planned", fault);
      if (!same_bytes(first.results, planned.results)) add(place, "other bits in planned memory");
    }
  }
  void add(const std::string& how, const std::string& fault) {
    faults_.push_back(fmt::format("{} ({}{}): {}", c_.name, short_ ? "bf16, " : "", how, fault));
  }

  const OpCase& c_;
  const Backend& tested_;
  bool short_;
  Graph graph_;
  Tensors inputs_, want_;
  std::map<std::string, double> terms_;
  double condition_;
  std::vector<std::string> faults_;
};

std::vector<std::string> faults_of(const OpCase& c, const Backend& tested,
                                   DType compute = DType::f32) {
  return Check(c, tested, compute).faults();
}

/// Operators and fusions of cases, counted.
using Counts = std::map<std::string, int, std::less<>>;

void count(const OpCase& c, Counts& counts) {
  const Graph graph = whole_graph(c);
  for (const Node& node : graph.nodes()) ++counts[std::string(node.op->name)];
  const Graph fused = fused_for(target("onednn"), graph);
  for (const Node& node : fused.nodes())
    if (node.body) ++counts[node.attributes.text("kind")];
}

void check_seed(uint32_t seed, std::initializer_list<DType> types = {DType::f32, DType::bf16}) {
  const OpCase drawn = fuzz_case(seed);
  INFO(drawn.name);
  const OpCase c = settled(drawn);
  for (const DType compute : types)
    for (const std::string& fault : faults_of(c, load_backend("onednn"), compute))
      FAIL_CHECK(fault);
}

}  // namespace

TEST_CASE("operators and fusions of odd sizes do what reference does") {
  const char* one = std::getenv("EXPGRAPH_FUZZ_SEED");
  const char* seconds = std::getenv("EXPGRAPH_FUZZ_SECONDS");
  if (one) return check_seed(static_cast<uint32_t>(std::stoul(one)));
  if (!seconds) {
    for (uint32_t seed = 0; seed < kCases; ++seed) check_seed(seed);
    return;
  }
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::seconds(std::stoi(seconds));
  uint32_t seed = kSmallSeeds;
  while (Clock::now() < end) check_seed(seed++);
  MESSAGE("cases: ", seed - kSmallSeeds);
}

TEST_CASE("so they do in the vectors of older processors") {
  const Backend& backend = load_backend("onednn");
  std::set<std::string> ran{backend.describe()};  // names the instruction set of its vectors
  for (int64_t rest = hwy::SupportedTargets(); rest != 0; rest &= rest - 1) {
    hwy::GetChosenTarget().Update(rest & -rest);
    if (!ran.insert(backend.describe()).second) continue;
    INFO(backend.describe());
    for (uint32_t seed = 0; seed < kCases / 3; ++seed) check_seed(seed);
  }
  hwy::GetChosenTarget().DeInit();
  if (ran.size() == 1) MESSAGE("test skipped: this processor has one kind of vectors");
}

TEST_CASE("so they do in bf16 without AMX") {
  setenv("EXPGRAPH_AMX", "off", 1);
  for (uint32_t seed = 0; seed < kCases / 3; ++seed) check_seed(seed, {DType::bf16});
  unsetenv("EXPGRAPH_AMX");
}

TEST_CASE("the quick seeds draw every operator and fusion that onednn runs") {
  const Backend& backend = load_backend("onednn");
  Counts counts;
  for (uint32_t seed = 0; seed < kCases; ++seed) count(fuzz_case(seed), counts);
  for (const OpSchema* op : all_ops()) {
    const bool runs =
        op->role == OpRole::compute || op->role == OpRole::sample || op->role == OpRole::metric;
    if (!runs || op->name == "cast") continue;  // cast: every case in bf16 has some
    if (op->takes_body || !backend.supports(*op)) continue;
    CHECK_MESSAGE(counts[std::string(op->name)] > 0, op->name);
  }
  for (const FusionPattern& pattern : target("onednn").fusions)
    // Rounding decides which of a convolution's values is largest: see onednn_test.
    if (pattern.name != "conv2d_pool") CHECK_MESSAGE(counts[pattern.name] > 0, pattern.name);
}

TEST_CASE("a fault planted behind onednn is found") {
  uint32_t seed = 0;
  while (fuzz_case(seed).ops[0]->name != "conv2d") ++seed;
  const OpCase c = fuzz_case(seed);
  const Backend& right = load_backend("onednn");
  CHECK(faults_of(c, right).empty());
  for (int fault = 0; fault < Planted::kFaults; ++fault)
    CHECK_MESSAGE(!faults_of(c, Planted(right, fault)).empty(), "fault ", fault);
}
