// verify_backends: two backends side by side on a tiny net.
#include "core/verify_backends.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include "core/pipeline.h"

using namespace expgraph;

namespace {

constexpr std::string_view kTiny = R"(
pipeline: tiny
train:
  epochs: 2
  nodes:
    data: {op: dataset, name: shapes10, split: train, count: 20}
    normalise: {op: normalise, mean: [125, 125, 125], std: [60, 60, 60]}
    cache: cache
    crop: {op: random_crop, size: 24}
    flip: random_flip
    batch: {op: batch, size: 8, shuffle: true}
    conv: {op: conv2d, channels: 8, kernel: 3, padding: 1}
    bn: batch_norm
    relu: relu
    pool: {op: max_pool, size: 0}
    flatten: flatten
    linear: {op: linear, features: 10}
    loss: {op: cross_entropy, label: batch/label}
    lr: {op: piecewise_linear, epochs: [0, 2], values: [0.1, 0]}
    update: {op: sgd, loss: loss, lr: lr, momentum: 0.9, nesterov: true}
)";

FlatSpec tiny() { return expand_text(kTiny, "tiny.yaml", ".", {}, op_names()); }

DataOptions data_options() {
  return {.cache = (std::filesystem::temp_directory_path() / "expgraph_verify_test").string()};
}

/// Reference whose program is told another learning rate.
class Planted final : public Backend {
 public:
  std::string name() const override { return "reference"; }
  std::string describe() const override { return "reference with a planted fault"; }
  bool supports(const OpSchema&) const override { return true; }
  std::unique_ptr<StateStore> make_store() const override { return right().make_store(); }
  std::unique_ptr<Executable> compile(const Graph& graph, const MemoryPlan& plan,
                                      const CompileOptions& options) const override {
    return std::make_unique<Faulty>(right().compile(graph, plan, options));
  }

 private:
  static const Backend& right() { return load_backend("reference"); }

  struct Faulty final : Executable {
    explicit Faulty(std::unique_ptr<Executable> r) : right(std::move(r)) {}
    void run(std::span<const Binding> inputs, std::span<const Binding> results,
             StateStore& store) override {
      std::vector<Binding> changed(inputs.begin(), inputs.end());
      const auto lr = std::ranges::find_if(
          changed, [](const Binding& binding) { return binding.name.ends_with("lr"); });
      float rate = 0;
      if (lr != changed.end()) {
        rate = *lr->tensor.as<float>() * 1.01f;
        lr->tensor.data = &rate;
      }
      right->run(changed, results, store);
    }
    int64_t workspace_bytes() const override { return right->workspace_bytes(); }
    std::unique_ptr<Executable> right;
  };
};

}  // namespace

TEST_CASE("a backend does not differ from itself, over more steps than an epoch has") {
  OpenDatasets datasets(data_options());
  const Backend& reference = load_backend("reference");
  const BackendDifferences found =
      verify_backends(tiny(), reference, reference, datasets, {.steps = 5});
  CHECK(found.losses.size() == 5);
  CHECK(found.states.size() == 12);  // 5 parameters, each with momentum; 2 statistics
  CHECK(found.worst() == 0);
  CHECK(found.worst_chaos() > 0);  // the nudge of the weights is felt
  CHECK(found.worst_chaos() < 1e-3);
}

TEST_CASE("a learning rate that is one in a hundred off shows in the states") {
  OpenDatasets datasets(data_options());
  const BackendDifferences found =
      verify_backends(tiny(), load_backend("reference"), Planted(), datasets, {.steps = 3});
  CHECK(found.losses[0].absolute == 0);  // the first loss is of the start values
  CHECK(found.worst() > 1e-4);
  CHECK(found.states.front().relative >= found.states.back().relative);
}

TEST_CASE("every backend that is there agrees with reference after a few steps") {
  OpenDatasets datasets(data_options());
  const Backend& reference = load_backend("reference");
  for (const std::string& name : backend_names()) {
    const BackendDifferences found =
        verify_backends(tiny(), reference, load_backend(name), datasets, {.steps = 4});
    CHECK_MESSAGE(found.worst() <= 1e-4, name, ": ", found.states.front().name);
  }
}

TEST_CASE("the difference is the largest, relative to the largest element, and NaN is kept") {
  std::vector<float> a{1, -4, 2}, b{1, -3, 2.5};
  const auto view = [](std::vector<float>& v) { return TensorView{{DType::f32, {3}}, v.data()}; };
  const Difference found = difference_of("x", view(a), view(b));
  CHECK(found.absolute == 1);
  CHECK(found.relative == 0.25);
  b[0] = std::numeric_limits<float>::quiet_NaN();
  CHECK(std::isnan(difference_of("x", view(a), view(b)).relative));
  CHECK(difference_of("x", view(a), view(a)).relative == 0);
}
