// adaptive: the steps of adam and lars in one or two passes, that of muon as matrix products.
#include <cmath>

#include "backends/onednn/dnnl.h"
#include "backends/onednn/kernels.h"
#include "backends/onednn/parallel.h"

namespace expgraph::onednn {

namespace {

constexpr int64_t kGrain = 4096;  // elements

/// Sums of squares of grains, added in their order: the same for any number of threads.
double length_of(int threads, const float* values, int64_t count, double* grains) {
  parallel(threads, count, kGrain, [&](int, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kGrain) {
      double sum = 0;
      const int64_t stop = std::min(i + kGrain, end);
      for (int64_t k = i; k < stop; ++k) sum += double(values[k]) * values[k];
      grains[i / kGrain] = sum;
    }
  });
  double sum = 0;
  for (int64_t k = 0; k * kGrain < count; ++k) sum += grains[k];
  return std::sqrt(sum);
}

int64_t grain_bytes(int64_t count) {
  return (count + kGrain - 1) / kGrain * static_cast<int64_t>(sizeof(double));
}

Made make_adam_update(const MakerContext& context) {
  const Attributes& attributes = context.node.attributes;
  const auto beta2 = static_cast<float>(attributes.real("beta2"));
  const double exact_beta2 = attributes.real("beta2"), decay = attributes.real("weight_decay");
  const auto epsilon = static_cast<float>(attributes.real("epsilon"));
  return dense(context, {[=, threads = context.threads](const KernelArgs& args) {
                 const double lr = *args.inputs[2].as<float>(), t = *args.inputs[3].as<float>();
                 const float beta1 = *args.inputs[4].as<float>();
                 const auto keep = static_cast<float>(1 - lr * decay);
                 const auto rate = static_cast<float>(lr / (1 - std::pow(double(beta1), t)));
                 const auto root = static_cast<float>(1 / std::sqrt(1 - std::pow(exact_beta2, t)));
                 const float* p = args.inputs[0].as<float>();
                 const float* g = args.inputs[1].as<float>();
                 const float* m = args.inputs[5].as<float>();
                 const float* v = args.inputs[6].as<float>();
                 float* new_p = args.outputs[0].as<float>();
                 float* new_m = args.outputs[1].as<float>();
                 float* new_v = args.outputs[2].as<float>();
                 parallel(threads, args.inputs[0].type.elements(), kGrain,
                          [&](int, int64_t i, int64_t end) {
                            for (; i < end; ++i) {
                              const float mean = beta1 * m[i] + (1 - beta1) * g[i];
                              const float square = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
                              const float below = std::sqrt(square) * root + epsilon;
                              if (new_p) new_p[i] = keep * p[i] - rate * mean / below;
                              if (new_m) new_m[i] = mean;
                              if (new_v) new_v[i] = square;
                            }
                          });
               }});
}

Made make_lars_update(const MakerContext& context) {
  const Attributes& attributes = context.node.attributes;
  const auto momentum = static_cast<float>(attributes.real("momentum"));
  const double decay = attributes.real("weight_decay"), trust = attributes.real("trust");
  const int64_t count = context.input(0).elements();
  const auto run = [=, threads = context.threads](const KernelArgs& args) {
    const float* p = args.inputs[0].as<float>();
    const float* g = args.inputs[1].as<float>();
    const float* m = args.inputs[3].as<float>();
    auto* grains = reinterpret_cast<double*>(args.scratch);
    const double length = length_of(threads, p, count, grains);
    const double slope = length_of(threads, g, count, grains);
    const double trusted = trust * length / (slope + decay * length);
    const auto rate =
        static_cast<float>(*args.inputs[2].as<float>() * (length > 0 && slope > 0 ? trusted : 1));
    const auto pull = static_cast<float>(decay);
    float* new_p = args.outputs[0].as<float>();
    float* new_m = args.outputs[1].as<float>();
    parallel(threads, count, kGrain, [&](int, int64_t i, int64_t end) {
      for (; i < end; ++i) {
        const float velocity = momentum * m[i] + rate * (g[i] + pull * p[i]);
        if (new_p) new_p[i] = p[i] - velocity;
        if (new_m) new_m[i] = velocity;
      }
    });
  };
  return dense(context, {run, grain_bytes(count)});
}

/// c = alpha * op(a) op(b) + beta * c, row-major, c [m, n], inner size k.
struct Product {
  char transpose_a = 'N', transpose_b = 'N';
  int64_t m, n, k;
  float alpha, beta;
  void run(const float* a, const float* b, float* c) const {
    const int64_t lda = transpose_a == 'N' ? k : m, ldb = transpose_b == 'N' ? n : k;
    const dnnl_status_t status =
        dnnl_sgemm(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, n);
    EXPGRAPH_CHECK(status == dnnl_success);
  }
};

/// The matrix of muon: rows by columns, the shorter side squared for its products.
struct Shapes {
  int64_t rows, columns;
  int64_t side() const { return std::min(rows, columns); }
  int64_t count() const { return rows * columns; }
};

/// One iteration from x to y; a and b are side by side matrices.
void orthogonalise(const Shapes& shapes, const float* x, float* y, float* a, float* b) {
  const int64_t rows = shapes.rows, columns = shapes.columns, side = shapes.side();
  const bool tall = rows > columns;
  const Product gram = tall ? Product{'T', 'N', side, side, rows, 1, 0}
                            : Product{'N', 'T', side, side, columns, 1, 0};
  gram.run(x, x, a);
  std::copy_n(a, side * side, b);
  Product{'N', 'N', side, side, side, 2.0315f, -4.775f}.run(a, a, b);
  std::copy_n(x, shapes.count(), y);
  const Product step{'N', 'N', rows, columns, side, 1, 3.4445f};
  tall ? step.run(x, b, y) : step.run(b, x, y);
}

Made make_muon_update(const MakerContext& context) {
  const Attributes& attributes = context.node.attributes;
  const auto momentum = static_cast<float>(attributes.real("momentum"));
  const bool nesterov = attributes.flag("nesterov"), normalise = attributes.flag("normalise");
  const int64_t iterations = attributes.integer("iterations");
  const int64_t rows = context.input(0).shape[0];
  const Shapes shapes{rows, context.input(0).elements() / rows};
  ScratchPlan scratch;
  const int64_t floats = sizeof(float);
  const int64_t x_at = scratch.add(shapes.count() * floats);
  const int64_t y_at = scratch.add(shapes.count() * floats);
  const int64_t a_at = scratch.add(shapes.side() * shapes.side() * floats);
  const int64_t b_at = scratch.add(shapes.side() * shapes.side() * floats);
  const int64_t grains_at = scratch.add(grain_bytes(shapes.count()));
  const auto run = [=, threads = context.threads](const KernelArgs& args) {
    const auto part = [&](int64_t at) { return reinterpret_cast<float*>(args.scratch + at); };
    auto* grains = reinterpret_cast<double*>(args.scratch + grains_at);
    const float* p = args.inputs[0].as<float>();
    const float* g = args.inputs[1].as<float>();
    const float* m = args.inputs[3].as<float>();
    float* new_p = args.outputs[0].as<float>();
    float* new_m = args.outputs[1].as<float>();
    float *x = part(x_at), *y = part(y_at);
    const int64_t count = shapes.count();
    parallel(threads, count, kGrain, [&](int, int64_t i, int64_t end) {
      for (; i < end; ++i) {
        const float velocity = momentum * m[i] + g[i];
        x[i] = nesterov ? g[i] + momentum * velocity : velocity;
        if (new_m) new_m[i] = velocity;
      }
    });
    if (!new_p) return;
    const auto shrink = static_cast<float>(1 / (length_of(threads, x, count, grains) + 1e-7));
    for (int64_t i = 0; i < count; ++i) x[i] *= shrink;
    for (int64_t k = 0; k < iterations; ++k) {
      orthogonalise(shapes, x, y, part(a_at), part(b_at));
      std::swap(x, y);
    }
    const double length = normalise ? length_of(threads, p, count, grains) : 1;
    const auto scale = static_cast<float>(normalise ? std::sqrt(double(rows)) / length : 1);
    const float lr = *args.inputs[2].as<float>();
    parallel(threads, count, kGrain, [&](int, int64_t i, int64_t end) {
      for (; i < end; ++i) new_p[i] = p[i] * scale - lr * x[i];
    });
  };
  return dense(context, {run, scratch.bytes()});
}

constexpr Maker kMakers[] = {
    {"adam_update", make_adam_update},
    {"lars_update", make_lars_update},
    {"muon_update", make_muon_update},
};

}  // namespace

std::span<const Maker> adaptive_makers() { return kMakers; }

}  // namespace expgraph::onednn
