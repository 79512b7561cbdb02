// choices: (seed, name, epoch) -> the order of samples and every random choice of an epoch.
#include "core/data/choices.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/beta.hpp>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <span>

#include "core/support/diagnostics.h"
#include "core/support/hash.h"
#include "core/support/philox.h"

namespace expgraph {
namespace {

/// One key for each purpose, seed and name; a name is hashed, so that similar ones are unrelated.
PhiloxKey key_of(std::string_view purpose, uint64_t seed, std::string_view name) {
  const std::string digest = content_hash(fmt::format("{}\n{}\n{}", purpose, seed, name));
  const auto word = [&](size_t k) {
    return static_cast<uint32_t>(std::stoul(digest.substr(8 * k, 8), nullptr, 16));
  };
  return {word(0), word(1)};
}

/// The word of a block, scaled to 0 .. bound-1 without bias (Lemire 2019); a word among those that
/// would bias the result is replaced by the same word of the next attempt, so a choice never shifts
/// another one.
int32_t choice(PhiloxBlock counter, PhiloxKey key, size_t word, uint32_t bound,
               const PhiloxBlock& first) {
  uint64_t product = uint64_t{first[word]} * bound;
  const uint32_t threshold = -bound % bound;
  while (static_cast<uint32_t>(product) < threshold) {
    counter[1] += 0x10000;
    product = uint64_t{philox(counter, key)[word]} * bound;
  }
  return static_cast<int32_t>(product >> 32);
}

/// The value as a T, which rounding must not bring up to the open limit.
template <typename T>
T below(double value, double limit) {
  const T rounded = static_cast<T>(value);
  if (static_cast<double>(rounded) < limit) return rounded;
  return std::nextafter(static_cast<T>(limit), std::numeric_limits<T>::lowest());
}

template <typename T>
void fill(PhiloxStream stream, const Initialiser& initialiser, std::span<T> values) {
  switch (initialiser.kind) {
    case Initialiser::Kind::constant:
      std::fill(values.begin(), values.end(), static_cast<T>(initialiser.a));
      return;
    case Initialiser::Kind::dirac:  // of the filters that are none
    case Initialiser::Kind::uniform:
      for (T& value : values) {
        const double width = initialiser.b - initialiser.a;
        value = below<T>(initialiser.a + width * stream.uniform(), initialiser.b);
      }
      return;
    case Initialiser::Kind::normal:
      // Box and Muller (1958): two uniforms make two normals.
      for (size_t i = 0; i < values.size(); i += 2) {
        const double radius = initialiser.b * std::sqrt(-2 * std::log(stream.uniform()));
        const double angle = 2 * std::numbers::pi * stream.uniform();
        values[i] = static_cast<T>(initialiser.a + radius * std::cos(angle));
        if (i + 1 < values.size()) {
          values[i + 1] = static_cast<T>(initialiser.a + radius * std::sin(angle));
        }
      }
      return;
    case Initialiser::Kind::copy:
      EXPGRAPH_CHECK(false && "a copy has no values of its own");
  }
}

/// Filters [M, C, kh, kw]: filter m < C is 1 in the middle of channel m and 0 elsewhere.
template <typename T>
void hand_on(const Shape& shape, std::span<T> filters) {
  EXPGRAPH_CHECK(shape.size() == 4);
  const int64_t plane = shape[2] * shape[3], size = shape[1] * plane;
  const int64_t middle = shape[2] / 2 * shape[3] + shape[3] / 2;
  for (int64_t m = 0; m < std::min(shape[0], shape[1]); ++m) {
    std::fill_n(filters.begin() + m * size, size, T(0));
    filters[static_cast<size_t>(m * size + m * plane + middle)] = 1;
  }
}

template <typename T>
void initialise_as(PhiloxStream stream, const Initialiser& initialiser, const Shape& shape,
                   std::span<T> values) {
  fill(stream, initialiser, values);
  if (initialiser.kind == Initialiser::Kind::dirac) hand_on(shape, values);
}

/// The larger of a part and its rest, in whole numbers of 1 / most; the part as likely as `word`
/// of 2^32 says in Beta(alpha, alpha).
int32_t larger_part(uint32_t word, double alpha, int64_t most) {
  const boost::math::beta_distribution<double> beta(alpha, alpha);
  const double part = boost::math::quantile(beta, (word + 0.5) * 0x1p-32);
  return static_cast<int32_t>(std::lround(std::max(part, 1 - part) * static_cast<double>(most)));
}

}  // namespace

std::vector<int32_t> sample_order(uint64_t seed, std::string_view name, int64_t epoch,
                                  int64_t count) {
  EXPGRAPH_CHECK(count >= 0 && count <= std::numeric_limits<int32_t>::max());
  std::vector<int32_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  PhiloxStream stream(key_of("order", seed, name), static_cast<uint64_t>(epoch));
  for (size_t i = order.size(); i > 1; --i) {
    std::swap(order[i - 1], order[stream.below(static_cast<uint32_t>(i))]);
  }
  return order;
}

std::vector<int32_t> draw_choices(uint64_t seed, std::string_view name, int64_t epoch,
                                  int64_t count, const ChoiceRule& rule) {
  EXPGRAPH_CHECK(count >= 0 && count <= std::numeric_limits<int32_t>::max());
  for (const int64_t bound : rule.bounds) {
    EXPGRAPH_CHECK(bound > 0 && bound <= std::numeric_limits<int32_t>::max());
  }
  const PhiloxKey key = key_of("choice", seed, name);
  const bool alternating = rule.kind == ChoiceRule::Kind::alternating;
  const auto stream = static_cast<uint64_t>(alternating ? 0 : epoch);
  std::vector<int32_t> choices;
  choices.reserve(static_cast<size_t>(count) * rule.bounds.size());
  for (int64_t sample = 0; sample < count; ++sample) {
    PhiloxBlock counter{static_cast<uint32_t>(sample), 0, static_cast<uint32_t>(stream),
                        static_cast<uint32_t>(stream >> 32)};
    PhiloxBlock words{};
    for (size_t k = 0; k < rule.bounds.size(); ++k) {
      if (k % 4 == 0) {
        counter[1] = static_cast<uint32_t>(k / 4);
        words = philox(counter, key);
      }
      const int64_t most = rule.bounds[k] - 1;
      if (rule.kind == ChoiceRule::Kind::beta) {
        choices.push_back(larger_part(words[k % 4], rule.alpha, most));
        continue;
      }
      const auto bound = static_cast<uint32_t>(rule.bounds[k]);
      const int32_t drawn = choice(counter, key, k % 4, bound, words);
      const bool turned = alternating && epoch % 2 == 1;
      choices.push_back(turned ? static_cast<int32_t>(most) - drawn : drawn);
    }
  }
  return choices;
}

void initialise(uint64_t seed, std::string_view name, const Initialiser& initialiser,
                const TensorType& type, void* data) {
  const PhiloxStream stream(key_of("initialise", seed, name), 0);
  const auto elements = static_cast<size_t>(type.elements());
  EXPGRAPH_CHECK(type.dtype == DType::f32 || type.dtype == DType::f64);
  if (type.dtype == DType::f32) {
    const std::span values(static_cast<float*>(data), elements);
    initialise_as(stream, initialiser, type.shape, values);
  } else {
    const std::span values(static_cast<double*>(data), elements);
    initialise_as(stream, initialiser, type.shape, values);
  }
}

}  // namespace expgraph
