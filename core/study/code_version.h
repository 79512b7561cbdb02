// code_version: a backend's name -> the version of all code that decides the bits of its runs.
#pragma once

#include <string>
#include <string_view>

namespace expgraph {

/// "0.1.0-4f2a9c01b7de": the project's version and a hash of the sources of core (without
/// core/study) and of that backend. Another commit that changes none of them has the same.
std::string code_version(std::string_view backend);

}  // namespace expgraph
