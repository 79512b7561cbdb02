// moments: sums over the pixels of a map, a channel each, which the kernel that makes the map
// leaves for the normalisation that reads it: the map is read once less.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace expgraph::onednn {

/// Sums of x and its square, each thread's about values of its own, which keeps the difference of
/// large numbers out of the variance.
class Moments {
 public:
  Moments(int64_t channels, int threads) {
    for (int thread = 0; thread < threads; ++thread) {
      parts_.push_back({std::vector<float>(static_cast<size_t>(channels)),
                        std::vector<double>(static_cast<size_t>(channels)),
                        std::vector<double>(static_cast<size_t>(channels))});
    }
  }

  struct Part {
    std::vector<float> shift;
    std::vector<double> sum, squares;  ///< of x - shift
    int64_t pixels = 0;
  };
  void clear() {
    for (Part& part : parts_) part.pixels = 0;
  }
  /// Empties the part of a thread; its sums are about the pixel at `shift`.
  void start(int thread, const float* shift) {
    start(thread);
    std::copy_n(shift, part(thread).shift.size(), part(thread).shift.begin());
  }
  /// The same; the shift is yet to be set.
  void start(int thread) {
    Part& part = this->part(thread);
    part.sum.assign(part.sum.size(), 0);
    part.squares.assign(part.squares.size(), 0);
  }
  Part& part(int thread) { return parts_[static_cast<size_t>(thread)]; }

  struct Total {
    double mean = 0;
    double squares = 0;  ///< sum of (x - mean)^2
  };
  /// Of a channel over all threads, in their order.
  Total total(int64_t channel) const {
    const auto c = static_cast<size_t>(channel);
    double count = 0, shift = 0, sum = 0, squares = 0;
    for (const Part& part : parts_) {
      if (part.pixels == 0) continue;
      if (count == 0) shift = part.shift[c];
      const double n = static_cast<double>(part.pixels), away = part.shift[c] - shift;
      count += n;
      sum += part.sum[c] + n * away;
      squares += part.squares[c] + away * (2 * part.sum[c] + n * away);
    }
    const double offset = sum / count;
    return {shift + offset, squares - offset * sum};
  }

 private:
  std::vector<Part> parts_;
};

}  // namespace expgraph::onednn
