// drawings: flat specs -> the pictures that a study keeps: of a net, of a pipeline, of an edit.
#pragma once

#include "viz/picture.h"

namespace expgraph {

/// The network alone (network_of). Throws, as the others do, Error when the spec cannot be typed.
Picture network_picture(const FlatSpec& spec, std::string title);

/// Data, network, loss, schedule and evaluation.
Picture pipeline_picture(const FlatSpec& spec, std::string title);

/// What an edit did: added, removed and changed, far unchanged parts as one box each.
Picture edit_picture(const FlatSpec& before, const FlatSpec& after, std::string title);

}  // namespace expgraph
