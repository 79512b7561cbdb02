// diff: two pictures -> one that shows what was added, removed and changed.
#pragma once

#include "viz/picture.h"

namespace expgraph {

/// Both pictures by path; unchanged clusters far from any change are drawn as one box.
Picture diff_picture(const Picture& before, const Picture& after, std::string title);

}  // namespace expgraph
