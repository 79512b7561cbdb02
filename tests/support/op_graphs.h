// op_graphs: short text of one node -> a graph, for tests of operators.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "core/ir/op_schema.h"

namespace expgraph {

/// Inputs as types, then the node's text over %0, %1, ...: "f32[2,3] u8[1]", "relu(%0)".
inline Graph graph_of(std::string_view types, std::string_view node, size_t outputs = 1) {
  std::string text = "graph g {\n";
  size_t k = 0;
  for (std::string_view rest = types; !rest.empty(); ++k) {
    const size_t length = std::min(rest.find(' '), rest.size());
    text += fmt::format("%{} = input i{} : {}\n", k, k, rest.substr(0, length));
    rest.remove_prefix(std::min(length + 1, rest.size()));
  }
  std::string made;
  for (size_t j = 0; j < outputs; ++j) made += fmt::format("{}%{}", j == 0 ? "" : ", ", k + j);
  return parse_graph(fmt::format("{}{}{}{}\n}}\n", text, made, outputs == 0 ? "" : " = ", node));
}

/// The message of the Error that `call` throws, or "no error".
template <typename Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace expgraph
