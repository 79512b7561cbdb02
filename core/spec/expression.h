// expression: "$name" and "$(2 * width)" in YAML values -> the values they stand for.
#pragma once

#include <map>
#include <set>
#include <string>

#include "core/spec/yaml.h"

namespace expgraph {

/// The values of parameters, by name.
using Bindings = std::map<std::string, yaml::Value, std::less<>>;

/// Puts parameters into every scalar of a value. "$name" alone becomes the parameter's value,
/// whatever its kind; "$(expression)" is a number: + - * / %, parentheses, min, max, floor, ceil,
/// round; a quotient that is whole is an integer. Inside a longer text both are pasted in; "$$" is
/// a dollar. Adds the names it reads to `used`. Error with the nearest parameter name.
yaml::Value substitute(const yaml::Value& value, const Bindings& bindings,
                       std::set<std::string>* used = nullptr);

/// The value, with who gave it (yaml::Origin::role).
yaml::Value with_role(yaml::Value value, std::string role);

}  // namespace expgraph
