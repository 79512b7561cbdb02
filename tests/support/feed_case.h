// feed_case: what is done to samples -> the graph that makes a batch of them, and values for it.
#pragma once

#include "tests/support/random_case.h"

namespace expgraph::test {

struct FeedSizes {
  DType type = DType::u8;  ///< of the samples, [count, height, width, channels]
  int64_t count = 7, height = 32, width = 32, channels = 3;
  int64_t batch = 5;
};

/// Leaves as those of a feed (see SideGraphs), but for choices, which are inputs "0", "1", ... by
/// stage; results "images" and "label".
struct FeedCase {
  std::string name;
  Graph graph;
  Tensors inputs;
};

/// Every second choice is the first or the last that there is. Samples are whole numbers.
FeedCase feed_case(const FeedSizes& sizes, const Chain& stages, Random& random);

/// Stages in any order, of any sizes that they take. The first `normalise` subtracts eighths and
/// later ones nothing, all divide by eighths: fp32 then rounds the quotient alone, to what a double
/// that is rounded to it gives.
FeedCase random_feed(Random& random, int64_t stages);

/// One of each operator on samples that libtorch fuses, for samples of that size.
std::vector<Chain> single_stages(const FeedSizes& sizes);

}  // namespace expgraph::test
