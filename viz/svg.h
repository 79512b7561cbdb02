// svg: Picture -> SVG.
#pragma once

#include <string>

#include "viz/picture.h"

namespace expgraph {

/// Laid out for a page (viz/layout.h); deterministic to the byte; without ids, scripts, styles or
/// references, so that several drawings can stand in one page; classes (cluster, node, edge, shape)
/// tell a page's script what is what. Names are untrusted and escaped. Hovering shows full paths
/// and attributes.
std::string to_svg(const Picture& picture);

}  // namespace expgraph
