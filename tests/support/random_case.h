// random_case: numbers and sizes drawn from a seed -> cases of operators, as those of tests/ops.
#pragma once

#include <initializer_list>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/op_case.h"

namespace expgraph::test {

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  int64_t in(int64_t least, int64_t most) {
    return std::uniform_int_distribution<int64_t>(least, most)(engine_);
  }
  bool coin() { return in(0, 1) == 1; }
  template <typename T>
  T pick(std::initializer_list<T> from) {
    return from.begin()[in(0, static_cast<int64_t>(from.size()) - 1)];
  }
  /// Sizes that vectors of 4, 8 and 16 do not divide are as likely as those they do.
  int64_t channels() { return in(0, 2) == 0 ? 16 * in(1, 4) : in(1, 67); }

 private:
  std::mt19937 engine_;
};

Attributes attributes(std::initializer_list<std::pair<const char*, AttributeValue>> values);

/// An attribute that is a list of one.
AttributeValue both(int64_t size);

TensorType f32(Shape shape);

using Chain = std::vector<std::pair<std::string, Attributes>>;

/// A chain of ops, over inputs of those types; its name ends with them.
OpCase make_case(const Chain& chain, std::vector<std::optional<TensorType>> inputs,
                 const std::string& name);

/// Values so far apart that rounding does not decide which of two is the larger: multiples of
/// 1 / 64 in [-2, 2).
void on_grid(OpCase& c, const std::string& input, const TensorType& type, Random& random);

}  // namespace expgraph::test
