// suggest: a misspelt name and the names there are -> "did you mean ...?".
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace expgraph {

/// Names within a small edit distance of `name` (transpositions count once), nearest first, at
/// most `limit`; paths are also compared by their last component.
std::vector<std::string> nearest(std::string_view name, const std::vector<std::string>& names,
                                 size_t limit = 2);

/// "did you mean 'a' or 'b'?", or "" when nothing is near.
std::string did_you_mean(std::string_view name, const std::vector<std::string>& names);

}  // namespace expgraph
