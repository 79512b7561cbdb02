// escape: untrusted text -> text that markup, DOT and XML take as plain characters.
#pragma once

#include <string>
#include <string_view>

namespace expgraph {

/// UTF-8 with & < > " ' as entities; control bytes and bytes that are no UTF-8 become U+FFFD.
std::string escape_markup(std::string_view text);

/// Text between double quotes in DOT: \\ " & and control bytes are escaped or replaced.
std::string escape_dot(std::string_view text);

/// An identifier for DOT: letters, digits and / _ . - stay, every other byte becomes %XX.
std::string dot_id(std::string_view path);

/// At most `columns` characters, the middle replaced by "…" when it is longer.
std::string shorten(std::string_view text, size_t columns);

}  // namespace expgraph
