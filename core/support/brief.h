// brief: numbers in a text -> the same with four significant digits, for drawings and tables.
#pragma once

#include <string>
#include <string_view>

namespace expgraph {

/// "[0, 1.3333333333333333, 5e-05]" -> "[0, 1.333, 5e-05]". Numbers without a point or an exponent
/// and those that are short already stay as they are, and so do digits within words.
std::string brief_numbers(std::string_view text);

}  // namespace expgraph
