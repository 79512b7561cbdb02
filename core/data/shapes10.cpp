// shapes10: a seed and an index -> a 32x32 colour image of one of ten shapes. Only the shape tells
// the class: colour, contrast, texture, area, place, rotation, background, clutter and noise are
// drawn alike for all, so statistics of single pixels say next to nothing.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <span>

#include "core/data/parallel.h"
#include "core/data/source.h"
#include "core/support/philox.h"

namespace expgraph {
namespace {

constexpr int kSize = 32;
constexpr int kGrid = 5;     // knots of the smooth textures, a side
constexpr int kVersion = 1;  // part of the identity: another drawing is another data set
constexpr float kPi = std::numbers::pi_v<float>;

struct Point {
  float x, y;
};

using Colour = std::array<float, 3>;

// Signed distances in the shape's own units, negative inside.

float circle(Point p, float radius) { return std::hypot(p.x, p.y) - radius; }

float box(Point p, float half_width, float half_height) {
  const float dx = std::abs(p.x) - half_width, dy = std::abs(p.y) - half_height;
  return std::hypot(std::max(dx, 0.0F), std::max(dy, 0.0F)) + std::min(std::max(dx, dy), 0.0F);
}

float polygon(Point p, std::span<const Point> corners) {
  float nearest = 1e9F;
  bool inside = false;
  for (size_t i = 0, j = corners.size() - 1; i < corners.size(); j = i++) {
    const Point a = corners[i], b = corners[j];
    const float ex = b.x - a.x, ey = b.y - a.y, wx = p.x - a.x, wy = p.y - a.y;
    const float t = std::clamp((wx * ex + wy * ey) / (ex * ex + ey * ey), 0.0F, 1.0F);
    const float dx = wx - ex * t, dy = wy - ey * t;
    nearest = std::min(nearest, dx * dx + dy * dy);
    if ((a.y > p.y) != (b.y > p.y) && p.x < ex * (p.y - a.y) / ey + a.x) inside = !inside;
  }
  return inside ? -std::sqrt(nearest) : std::sqrt(nearest);
}

float disc(Point p) { return circle(p, 1); }

float ring(Point p) { return std::max(circle(p, 1), -circle(p, 0.6F)); }

float square(Point p) { return box(p, 1, 1); }

float frame(Point p) { return std::max(box(p, 1, 1), -box(p, 0.6F, 0.6F)); }

float triangle(Point p) {
  constexpr std::array<Point, 3> corners{{{0, -1}, {0.8660254F, 0.5F}, {-0.8660254F, 0.5F}}};
  return polygon(p, corners);
}

float plus(Point p) { return std::min(box(p, 1, 0.28F), box(p, 0.28F, 1)); }

float cross(Point p) {
  constexpr float half = std::numbers::sqrt2_v<float> / 2;
  return plus({half * (p.x + p.y), half * (p.x - p.y)});
}

constexpr float kStarInner = 0.42F;

float star(Point p) {
  static const std::array<Point, 10> corners = [] {
    std::array<Point, 10> made{};
    for (size_t i = 0; i < made.size(); ++i) {
      const float angle = static_cast<float>(i) * kPi / 5;
      const float radius = i % 2 == 0 ? 1 : kStarInner;
      made[i] = {radius * std::sin(angle), -radius * std::cos(angle)};
    }
    return made;
  }();
  return polygon(p, corners);
}

float crescent(Point p) { return std::max(circle(p, 1), -circle({p.x - 0.5F, p.y}, 0.75F)); }

float bars(Point p) {
  return std::min(
      {box(p, 1, 0.2F), box({p.x, p.y - 0.8F}, 1, 0.2F), box({p.x, p.y + 0.8F}, 1, 0.2F)});
}

/// Area of the crescent: the disc less its lens with the disc that bites (Weisstein, "Circle-circle
/// intersection").
float crescent_area() {
  constexpr float d = 0.5F, r = 0.75F;
  const float lens = r * r * std::acos((d * d + r * r - 1) / (2 * d * r)) +
                     std::acos((d * d + 1 - r * r) / (2 * d)) -
                     0.5F * std::sqrt((-d + r + 1) * (d + r - 1) * (d - r + 1) * (d + r + 1));
  return kPi - lens;
}

struct ShapeClass {
  const char* name;
  float area;  ///< in units squared
  float (*distance)(Point);
};

const std::array<ShapeClass, 10>& shape_classes() {
  static const std::array<ShapeClass, 10> classes{{
      {"disc", kPi, disc},
      {"ring", kPi * (1 - 0.36F), ring},
      {"square", 4, square},
      {"frame", 4 * (1 - 0.36F), frame},
      {"triangle", 0.75F * std::sqrt(3.0F), triangle},
      {"plus", 2 * 4 * 0.28F - 4 * 0.28F * 0.28F, plus},
      {"cross", 2 * 4 * 0.28F - 4 * 0.28F * 0.28F, cross},
      {"star", 10 * kStarInner * std::sin(kPi / 5) / 2, star},
      {"crescent", crescent_area(), crescent},
      {"bars", 3 * 4 * 0.2F, bars},
  }};
  return classes;
}

float between(PhiloxStream& random, float low, float high) {
  return low + (high - low) * static_cast<float>(random.uniform());
}

Colour offset(const Colour& from, PhiloxStream& random, float low, float high) {
  const float z = between(random, -1, 1), angle = between(random, 0, 2 * kPi);
  const float flat = std::sqrt(1 - z * z), length = between(random, low, high);
  const Colour step{length * flat * std::cos(angle), length * flat * std::sin(angle), length * z};
  Colour to{};
  for (size_t c = 0; c < 3; ++c) {
    to[c] = from[c] + step[c];
    if (to[c] < 0 || to[c] > 255) to[c] = from[c] - step[c];
  }
  return to;
}

/// A smooth random field: knots on a coarse grid, linear between them.
class Texture {
 public:
  Texture(PhiloxStream& random, float strength) {
    for (Colour& knot : knots_) {
      for (float& channel : knot) channel = between(random, -strength, strength);
    }
  }

  Colour at(int row, int column) const {
    const float v = static_cast<float>(row * (kGrid - 1)) / kSize;
    const float u = static_cast<float>(column * (kGrid - 1)) / kSize;
    const int i = static_cast<int>(v), j = static_cast<int>(u);
    const float fv = v - static_cast<float>(i), fu = u - static_cast<float>(j);
    Colour out{};
    for (size_t c = 0; c < 3; ++c) {
      const float top = knot(i, j)[c] * (1 - fu) + knot(i, j + 1)[c] * fu;
      const float bottom = knot(i + 1, j)[c] * (1 - fu) + knot(i + 1, j + 1)[c] * fu;
      out[c] = top * (1 - fv) + bottom * fv;
    }
    return out;
  }

 private:
  const Colour& knot(int i, int j) const { return knots_[static_cast<size_t>(i * kGrid + j)]; }
  std::array<Colour, kGrid * kGrid> knots_{};
};

using Canvas = std::array<Colour, kSize * kSize>;

/// Blends a colour in where `distance` (in pixels) is negative, one pixel of transition; `reach`
/// pixels around the centre are looked at.
template <typename Distance, typename Paint>
void draw(Canvas& canvas, Point centre, float reach, const Distance& distance, const Paint& paint) {
  const auto clip = [](float at) { return std::clamp(static_cast<int>(at), 0, kSize); };
  for (int row = clip(centre.y - reach); row < clip(centre.y + reach + 1); ++row) {
    for (int column = clip(centre.x - reach); column < clip(centre.x + reach + 1); ++column) {
      const Point from_centre{static_cast<float>(column) + 0.5F - centre.x,
                              static_cast<float>(row) + 0.5F - centre.y};
      const float cover = std::clamp(0.5F - distance(from_centre), 0.0F, 1.0F);
      if (cover == 0) continue;
      const Colour colour = paint(row, column);
      Colour& pixel = canvas[static_cast<size_t>(row * kSize + column)];
      for (size_t c = 0; c < 3; ++c) pixel[c] += cover * (colour[c] - pixel[c]);
    }
  }
}

void draw_clutter(Canvas& canvas, const Colour& background, PhiloxStream& random) {
  const uint32_t pieces = 2 + random.below(3);
  for (uint32_t k = 0; k < pieces; ++k) {
    const Point centre{between(random, 0, kSize), between(random, 0, kSize)};
    const float angle = between(random, 0, kPi), half_length = between(random, 0, 5);
    const float thickness = between(random, 0.5F, 1.5F);
    const Point along{std::cos(angle), std::sin(angle)};
    const Colour colour = offset(background, random, 40, 110);
    const auto distance = [&](Point p) {
      const float t = std::clamp(p.x * along.x + p.y * along.y, -half_length, half_length);
      return std::hypot(p.x - t * along.x, p.y - t * along.y) - thickness;
    };
    draw(canvas, centre, half_length + thickness + 1, distance, [&](int, int) { return colour; });
  }
}

void draw_shape(Canvas& canvas, const ShapeClass& shape, const Colour& background,
                PhiloxStream& random) {
  const float scale = std::sqrt(between(random, 130, 230) / shape.area);
  const float angle = between(random, -0.25F, 0.25F);
  const Point axis{std::cos(angle), std::sin(angle)};
  const Point centre{between(random, 12, kSize - 12), between(random, 12, kSize - 12)};
  const Colour colour = offset(background, random, 90, 170);
  const Texture texture(random, between(random, 0, 30));
  const auto distance = [&](Point p) {
    const Point turned{(p.x * axis.x + p.y * axis.y) / scale,
                       (p.y * axis.x - p.x * axis.y) / scale};
    return scale * shape.distance(turned);
  };
  draw(canvas, centre, 1.5F * scale + 1, distance, [&](int row, int column) {
    Colour painted = texture.at(row, column);
    for (size_t c = 0; c < 3; ++c) painted[c] += colour[c];
    return painted;
  });
}

void render(PhiloxStream random, const ShapeClass& shape, std::span<uint8_t> image) {
  Colour background{};
  for (float& channel : background) channel = between(random, 40, 215);
  const Texture texture(random, between(random, 0, 30));
  Canvas canvas;
  for (int i = 0; i < kSize * kSize; ++i) {
    canvas[static_cast<size_t>(i)] = texture.at(i / kSize, i % kSize);
    for (size_t c = 0; c < 3; ++c) canvas[static_cast<size_t>(i)][c] += background[c];
  }
  draw_clutter(canvas, background, random);
  draw_shape(canvas, shape, background, random);
  const float noise = between(random, 4, 14) / 128;
  uint8_t* out = image.data();
  for (const Colour& pixel : canvas) {
    // The sum of two bytes has a triangular distribution about 255.
    const std::array<uint32_t, 2> words{random.next(), random.next()};
    for (size_t c = 0; c < 3; ++c) {
      const uint32_t bits = words[c / 2] >> (16 * (c % 2));
      const auto sum = static_cast<int>((bits & 0xFF) + (bits >> 8 & 0xFF));
      const float value = pixel[c] + noise * static_cast<float>(sum - 255);
      *out++ = static_cast<uint8_t>(std::clamp(value + 0.5F, 0.0F, 255.0F));
    }
  }
}

struct Generated {
  std::vector<uint8_t> images;
  std::vector<int32_t> labels;
};

}  // namespace

std::shared_ptr<const Dataset> open_shapes10(const DataRequest& request) {
  const auto& classes = shape_classes();
  const auto bytes = static_cast<size_t>(kSize * kSize * 3);
  const auto count = static_cast<size_t>(request.info.count);
  const auto made = std::make_shared<Generated>();
  made->images.resize(count * bytes);
  made->labels.resize(count);
  const PhiloxKey key{static_cast<uint32_t>(request.seed),
                      static_cast<uint32_t>(request.seed >> 32)};
  const uint64_t split = request.info.split == "train" ? 0 : uint64_t{1} << 63;
  parallel_for(request.info.count, 256, request.options.threads, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      const size_t label = i % classes.size();
      made->labels[i] = static_cast<int32_t>(label);
      render(PhiloxStream(key, split | i), classes[label],
             std::span(made->images).subspan(i * bytes, bytes));
    }
  });
  auto dataset = std::make_shared<Dataset>();
  dataset->info = request.info;
  dataset->images = made->images;
  dataset->labels = made->labels;
  for (const ShapeClass& shape : classes) dataset->classes.emplace_back(shape.name);
  dataset->identity = fmt::format("shapes10:v{}:seed={}:{}:{}", kVersion, request.seed,
                                  request.info.split, request.info.count);
  dataset->described = fmt::format("shapes10 (generated, seed {})", request.seed);
  dataset->storage = made;
  return dataset;
}

}  // namespace expgraph
