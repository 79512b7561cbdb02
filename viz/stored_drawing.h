// stored_drawing: a drawing's file in the run store -> SVG that may stand in a page.
#pragma once

#include <string>
#include <string_view>

namespace expgraph {

/// True for what to_svg writes: known elements with known attributes, no script, style, reference
/// or markup besides. Files of a store may come from elsewhere, so nothing else gets into a page.
bool is_plain_svg(std::string_view svg);

/// Without its title, which the page says itself; equal drawings of variants with other titles are
/// then equal texts. `svg` is plain.
std::string without_title(std::string_view svg);

}  // namespace expgraph
