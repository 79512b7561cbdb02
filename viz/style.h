// style: what a node of a picture says and in which colours, the same in DOT and SVG.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "viz/picture.h"

namespace expgraph {

struct Colours {
  std::string_view fill, border, text;
};

/// By family of operators; in a diff by change.
const Colours& colours_of(const Picture& picture, const Picture::Node& node);
const Colours& colours_of(Change change);
/// "+ ", "− ", "~ " or "": changes are told to people who do not see the colours, too.
std::string_view mark_of(Change change);

/// A node's text, not escaped: title, operator where it is not the title, lines of attributes that
/// differ from their defaults (of a changed node: "before → after").
struct NodeText {
  std::string title;
  std::string op;
  std::vector<std::string> lines;
};
NodeText text_of(const Picture::Node& node);

/// Ends of the drawn part stand without a box.
bool has_box(const Picture& picture, const Picture::Node& node);

}  // namespace expgraph
