// start: start values of a parameter that follow from the training images.
#include <fmt/format.h>

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "core/ops/families.h"
#include "core/ops/rules.h"

namespace expgraph {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Values of a patch of these filters [M, C, kh, kw].
int64_t patch_size(const Shape& filters) { return filters[1] * filters[2] * filters[3]; }

/// Samples f32[N, H, W, C]; the parameter that they give, where it is known, after them.
std::vector<TensorType> infer_whiten(const InferContext& context) {
  rules::require_dtype(context, 0, DType::f32);
  rules::require_rank(context, 0, 4, "[N, H, W, C]");
  rules::require_at_least(context, "images", 1);
  const double epsilon = context.attributes.real("epsilon");
  if (epsilon <= 0) context.fail(fmt::format("epsilon is {}, expected more than 0", epsilon));
  if (!context.has(1)) return {};
  const Shape& x = context.input(0).shape;
  const Shape& filters = context.input(1).shape;
  const std::string text = context.input(1).str();
  if (filters.size() != 4 || context.input(1).dtype != DType::f32) {
    context.fail(fmt::format("{} is no filters f32[M, C, kh, kw]", text));
  }
  if (filters[1] != x[3] || filters[2] > x[1] || filters[3] > x[2]) {
    context.fail(fmt::format("filters {} do not fit images of {}x{} and {} channels", text, x[1],
                             x[2], x[3]));
  }
  const int64_t size = patch_size(filters);
  if (filters[0] != size && filters[0] != 2 * size) {
    context.fail(
        fmt::format("patches of {} values give {} filters, or {} with their negatives, "
                    "not {}",
                    size, size, 2 * size, filters[0]));
  }
  return {};
}

/// X^T X / n over all patches X [n, C kh kw] of the images [H, W, C].
Matrix second_moments(const Shape& images, int64_t count, const float* x, const Shape& filters) {
  const int64_t height = images[1], width = images[2], channels = images[3];
  const int64_t rows = height - filters[2] + 1, columns = width - filters[3] + 1;
  const int64_t size = patch_size(filters);
  Matrix patches(rows * columns, size), moments = Matrix::Zero(size, size);
  for (int64_t n = 0; n < count; ++n) {
    const float* image = x + n * height * width * channels;
    for (int64_t at = 0; at < rows * columns; ++at) {
      double* patch = patches.data() + at * size;
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t u = 0; u < filters[2]; ++u)
          for (int64_t v = 0; v < filters[3]; ++v)
            *patch++ = image[((at / columns + u) * width + at % columns + v) * channels + c];
    }
    moments.noalias() += patches.transpose() * patches;
  }
  return moments / static_cast<double>(count * rows * columns);
}

void whiten(const Attributes& attributes, const TensorType& samples, const float* x,
            const TensorType& parameter, float* values) {
  const Shape& filters = parameter.shape;
  const int64_t size = patch_size(filters);
  const int64_t count = std::min(attributes.integer("images"), samples.shape[0]);
  const Eigen::SelfAdjointEigenSolver<Matrix> solver(
      second_moments(samples.shape, count, x, filters));
  EXPGRAPH_CHECK(solver.info() == Eigen::Success);
  for (int64_t m = 0; m < filters[0]; ++m) {
    const int64_t k = size - 1 - m % size;  // the solver's are in increasing order
    Eigen::VectorXd filter = solver.eigenvectors().col(k);
    Eigen::Index largest = 0;
    filter.cwiseAbs().maxCoeff(&largest);
    const bool turned = (filter[largest] < 0) != (m >= size);
    filter *= (turned ? -1 : 1) / std::sqrt(solver.eigenvalues()[k] + attributes.real("epsilon"));
    for (int64_t i = 0; i < size; ++i) values[m * size + i] = static_cast<float>(filter[i]);
  }
}

}  // namespace

std::vector<OpSchema> start_ops() {
  return {
      {.name = "whiten",
       .family = "start",
       .doc = "Start values of a convolution's filters that whiten patches of the training images "
              "(Page, 2019): the eigenvectors of X^T X / n, X all n patches as rows, in the order "
              "of falling eigenvalues, each over sqrt(eigenvalue + epsilon), its largest element "
              "above 0; then, where there are twice as many filters, their negatives.",
       .role = OpRole::start,
       .inputs = {{.name = "x", .doc = "f32 [N, H, W, C], samples without random choices"}},
       .attributes = {{"parameter", AttributeKind::text, std::nullopt,
                       "what starts so: net/whiten/w, by its path from the group of this node"},
                      {"images", AttributeKind::integer, int64_t{5000},
                       "how many of the first ones are looked at, at most"},
                      {"epsilon", AttributeKind::real, 5e-4, "added to each eigenvalue"}},
       .infer = infer_whiten,
       .start = whiten,
       .cost = rules::copy_cost,
       .example = "whitening: {op: whiten, inputs: normalise, parameter: net/whiten/w}"},
  };
}

}  // namespace expgraph
