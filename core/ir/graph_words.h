// graph_words: the words of a graph's text, shared by its printer and its parser.
#pragma once

#include <array>
#include <string_view>

namespace expgraph {

/// By LeafKind.
inline constexpr std::array<std::string_view, 3> kLeafNames = {"input", "state", "choice"};
/// By Initialiser::Kind.
inline constexpr std::array<std::string_view, 5> kInitialiserNames = {"constant", "uniform",
                                                                      "normal", "dirac", "copy"};
/// Names, paths and numbers of these characters need no quotes.
inline bool is_word_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '/' || c == '.' || c == '-' || c == '+';
}

}  // namespace expgraph
