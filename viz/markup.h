// markup: formatted pieces -> the text of a document or a drawing, written from its start to its
// end.
#pragma once

#include <fmt/format.h>

#include <iterator>
#include <string>
#include <string_view>

#include "viz/escape.h"

namespace expgraph {

/// What writers of markup derive from.
class Markup {
 protected:
  template <typename... Args>
  void put(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }

  std::string out_;
};

/// What writers of plots derive from.
class PlotMarkup : protected Markup {
 protected:
  /// Words: the role is their class, "name" or "tick"; `more` is further attributes, each
  /// with a space after it. Words are untrusted and escaped.
  void text(std::string_view role, double x, double y, std::string_view anchor,
            std::string_view words, std::string_view more = "") {
    put("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" {}fill=\"{}\" text-anchor=\"{}\">{}</text>\n",
        role, x, y, more, role == "name" ? "#1f2933" : "#59636e", anchor, escape_markup(words));
  }
};

}  // namespace expgraph
