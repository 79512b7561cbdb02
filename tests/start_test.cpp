// start: whitening filters against an eigen decomposition of the test's own, and as a run sets
// them.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/data/choices.h"
#include "core/train/open_pipeline.h"
#include "core/train/side_run.h"
#include "tests/support/tiny_pipeline.h"

using namespace expgraph;

namespace {

using Matrix = std::vector<std::vector<double>>;

/// X^T X / n over all patches of kh x kw, values in the order of a filter.
Matrix moments(const std::vector<float>& x, const Shape& images, int64_t count, int64_t kh,
               int64_t kw) {
  const int64_t h = images[1], w = images[2], c = images[3], size = c * kh * kw;
  Matrix sum(static_cast<size_t>(size), std::vector<double>(static_cast<size_t>(size), 0));
  int64_t patches = 0;
  for (int64_t n = 0; n < count; ++n)
    for (int64_t i = 0; i + kh <= h; ++i)
      for (int64_t j = 0; j + kw <= w; ++j, ++patches) {
        const auto value = [&](int64_t k) {
          const int64_t channel = k / (kh * kw), u = k / kw % kh, v = k % kw;
          return double(x[static_cast<size_t>(((n * h + i + u) * w + j + v) * c + channel)]);
        };
        for (int64_t a = 0; a < size; ++a)
          for (int64_t b = 0; b < size; ++b)
            sum[static_cast<size_t>(a)][static_cast<size_t>(b)] += value(a) * value(b);
      }
  for (auto& row : sum)
    for (double& value : row) value /= static_cast<double>(patches);
  return sum;
}

/// Eigenvalues by Jacobi's rotations (1846), falling.
std::vector<double> eigenvalues(Matrix a) {
  const size_t size = a.size();
  for (int sweep = 0; sweep < 50; ++sweep)
    for (size_t p = 0; p < size; ++p)
      for (size_t q = p + 1; q < size; ++q) {
        const double angle = 0.5 * std::atan2(2 * a[p][q], a[q][q] - a[p][p]);
        const double c = std::cos(angle), s = std::sin(angle);
        for (size_t k = 0; k < size; ++k) {
          const double kp = a[k][p], kq = a[k][q];
          a[k][p] = c * kp - s * kq;
          a[k][q] = s * kp + c * kq;
        }
        for (size_t k = 0; k < size; ++k) {
          const double pk = a[p][k], qk = a[q][k];
          a[p][k] = c * pk - s * qk;
          a[q][k] = s * pk + c * qk;
        }
      }
  std::vector<double> values;
  for (size_t k = 0; k < size; ++k) values.push_back(a[k][k]);
  std::ranges::sort(values, std::greater());
  return values;
}

struct Case {
  Shape images, filters;
  int64_t count;
  double epsilon;
};

void check_whitening(const Case& c) {
  const auto elements = [](const Shape& shape) {
    return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies());
  };
  // Channels that depend on each other and pixels on their neighbours, as in images.
  std::vector<float> x(static_cast<size_t>(elements(c.images)));
  initialise(1, "x", {Initialiser::Kind::normal, 0, 1}, {DType::f32, c.images}, x.data());
  for (size_t k = 7; k < x.size(); ++k) x[k] = 0.6F * x[k] + 0.5F * x[k - 1] + 0.4F * x[k - 7];

  Attributes attributes;
  attributes.set("parameter", std::string("w"));
  attributes.set("images", c.count);
  attributes.set("epsilon", c.epsilon);
  std::vector<float> w(static_cast<size_t>(elements(c.filters)));
  op("whiten").start(complete_attributes(op("whiten"), attributes), {DType::f32, c.images},
                     x.data(), {DType::f32, c.filters}, w.data());

  const Matrix covariance = moments(x, c.images, c.count, c.filters[2], c.filters[3]);
  const std::vector<double> values = eigenvalues(covariance);
  const size_t size = values.size();
  const auto filter = [&](size_t m, size_t k) { return double(w[m * size + k]); };
  for (size_t a = 0; a < size; ++a) {
    // W C W^T = diag(lambda / (lambda + epsilon)), falling.
    for (size_t b = 0; b < size; ++b) {
      double product = 0;
      for (size_t i = 0; i < size; ++i)
        for (size_t j = 0; j < size; ++j) product += filter(a, i) * covariance[i][j] * filter(b, j);
      const double expected = a == b ? values[a] / (values[a] + c.epsilon) : 0;
      CHECK(product == doctest::Approx(expected).epsilon(1e-4));
    }
    // |w| = 1 / sqrt(lambda + epsilon), the largest element above 0.
    double squares = 0, largest = 0;
    for (size_t k = 0; k < size; ++k) {
      squares += filter(a, k) * filter(a, k);
      if (std::abs(filter(a, k)) > std::abs(largest)) largest = filter(a, k);
    }
    CHECK(squares * (values[a] + c.epsilon) == doctest::Approx(1).epsilon(1e-4));
    CHECK(largest > 0);
  }
  for (size_t k = size * size; k < w.size(); ++k) CHECK(w[k] == -w[k - size * size]);
}

constexpr const char* kWhitened = R"(pipeline: whitened
train:
  epochs: 1
  nodes:
    data: {op: dataset, name: shapes10, split: train, count: 40}
    normalise: {op: normalise, mean: [125, 123, 114], std: [63, 62, 67]}
    whitening: {op: whiten, parameter: net/conv/w, images: 30}
    pad: {op: pad, inputs: normalise, size: 2}
    cache: cache
    crop: {op: random_crop, size: 32}
    batch: {op: batch, size: 20}
    net:
      nodes:
        conv: {op: conv2d, channels: 24, kernel: 2, bias: true}
        pool: {op: max_pool, size: 0}
        flatten: flatten
        linear: {op: linear, features: 10}
    loss: {op: cross_entropy, label: batch/label}
    lr: {op: piecewise_linear, epochs: [0], values: [0.1]}
    update: {op: sgd, loss: loss, lr: lr}
    filters: {op: parameter_group, parameters: train/net/conv/w, lr: 0}
)";

std::vector<float> read(const StateStore& store, const std::string& name) {
  const TensorType type = store.type(name);
  std::vector<float> values(static_cast<size_t>(type.elements()));
  store.read(name, {type, values.data()});
  return values;
}

}  // namespace

TEST_CASE("whitening filters: 2x2 patches of colour, with negatives") {
  check_whitening({.images = {6, 9, 8, 3}, .filters = {24, 3, 2, 2}, .count = 5, .epsilon = 5e-4});
}

TEST_CASE("whitening filters: 3x3 patches without negatives, 2x3 of one channel") {
  check_whitening({.images = {5, 8, 8, 3}, .filters = {27, 3, 3, 3}, .count = 5, .epsilon = 1e-2});
  check_whitening({.images = {5, 8, 8, 1}, .filters = {6, 1, 2, 3}, .count = 4, .epsilon = 0.5});
}

TEST_CASE("whitening looks at all images where there are fewer than it asks for") {
  std::vector<float> x(3 * 4 * 4), all(8), more(8);
  initialise(2, "x", {Initialiser::Kind::normal, 0, 1}, {DType::f32, {3, 4, 4, 1}}, x.data());
  for (auto [count, filters] : {std::pair(3, &all), std::pair(9, &more)}) {
    Attributes attributes;
    attributes.set("parameter", std::string("w"));
    attributes.set("images", int64_t{count});
    op("whiten").start(complete_attributes(op("whiten"), attributes), {DType::f32, {3, 4, 4, 1}},
                       x.data(), {DType::f32, {2, 1, 1, 2}}, filters->data());
  }
  CHECK(all[0] != 0);
  CHECK(all == more);
}

TEST_CASE("a run starts with the filters of its normalised images, and keeps them when frozen") {
  const FlatSpec spec = expand_text(kWhitened, "whitened.yaml", ".", {}, op_names());
  const Backend& backend = load_backend("reference");
  OpenDatasets datasets({});
  const OpenPipeline pipeline = open_pipeline(spec, {.backend = "reference"}, datasets);
  const auto store = backend.make_store();
  SideRun side({.full = pipeline.compiled.train,
                .data = pipeline.train,
                .backend = backend,
                .side = "train"});
  side.batches.prepare(1);
  side.create_states(*store);
  const std::vector<float> start = read(*store, "train/net/conv/w");

  const double mean[] = {125, 123, 114}, deviation[] = {63, 62, 67};
  std::vector<float> images;
  for (size_t k = 0; k < size_t{40} * 32 * 32 * 3; ++k)
    images.push_back(
        static_cast<float>((pipeline.train->images[k] - mean[k % 3]) / deviation[k % 3]));
  Attributes attributes;
  attributes.set("parameter", std::string("net/conv/w"));
  attributes.set("images", int64_t{30});
  std::vector<float> expected(start.size());
  op("whiten").start(complete_attributes(op("whiten"), attributes), {DType::f32, {40, 32, 32, 3}},
                     images.data(), {DType::f32, {24, 3, 2, 2}}, expected.data());
  for (size_t k = 0; k < start.size(); ++k)
    CHECK(start[k] == doctest::Approx(expected[k]).epsilon(1e-4));

  const std::vector<float> bias = read(*store, "train/net/conv/b");
  side.begin(0, {.step = 0, .steps_per_epoch = 2, .steps = 2}, 2);
  for (int64_t step = 0; step < 2; ++step) CHECK(side.step(*store));
  CHECK(read(*store, "train/net/conv/w") == start);
  CHECK(read(*store, "train/net/conv/b") != bias);
}
