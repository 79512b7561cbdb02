// graph_case: graphs as text in tests, so that a pass is text in, text out.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "core/ir/graph.h"

namespace expgraph {

/// The graph with these lines, as to_text gives it: types, defaults and value numbers filled in.
inline std::string graph_of(std::string_view lines) {
  return to_text(parse_graph(fmt::format("graph g {{\n{}\n}}\n", lines)));
}

inline Graph parse(std::string_view lines) { return parse_graph(graph_of(lines)); }

/// What a pass makes of these lines; verified.
template <typename Pass>
std::string run(std::string_view lines, const Pass& pass) {
  const Graph after = pass(parse(lines));
  verify(after);
  return to_text(after);
}

/// The error that a call throws, as a user reads it.
template <typename Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.render();
  }
  return "no error";
}

}  // namespace expgraph
