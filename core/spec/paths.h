// paths: the names of nodes, and how one is written from inside a group.
#pragma once

#include <string>
#include <string_view>

#include "core/support/diagnostics.h"

namespace expgraph {

/// "train/net" and "conv" -> "train/net/conv"; the root group is "".
std::string join_path(std::string_view group, std::string_view name);
/// "train/net/conv" -> "train/net"; "train" -> "".
std::string_view parent_path(std::string_view path);
/// "train/net/conv" -> "conv".
std::string_view last_component(std::string_view path);
/// True for a group's members, at any depth.
bool is_within(std::string_view path, std::string_view group);

/// Error unless `name` is letters, digits and '_', no digit first, and not "in". `what` names
/// the thing in the message: "node".
void check_name(std::string_view name, std::string_view what, const Location& where);

/// A reference as written inside `group` ("relu1", "../relu1", "res2/relu", "in") -> a full path.
std::string absolute_path(std::string_view text, std::string_view group, const Location& where);
/// The inverse: how `path` is written inside `group`.
std::string relative_path(std::string_view path, std::string_view group);

}  // namespace expgraph
