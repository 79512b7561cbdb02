// drawings: flat specs -> the pictures that a study keeps: of a net, of a pipeline, of an edit.
#pragma once

#include "core/ir/tensor_type.h"
#include "viz/picture.h"

namespace expgraph {

/// What a network that stands alone is given when nobody says otherwise: CIFAR-10's images.
inline const TensorType kNetworkInput{DType::f32, {2, 3, 32, 32}};

/// The network alone (network_of). Throws, as the others do, Error when the spec cannot be typed.
/// `input` is for a spec that is a network.
Picture network_picture(const FlatSpec& spec, std::string title,
                        const TensorType& input = kNetworkInput);

/// Data, network, loss, schedule and evaluation.
Picture pipeline_picture(const FlatSpec& spec, std::string title);

/// What an edit did: added, removed and changed, far unchanged parts as one box each. Both are
/// pipelines or both networks.
Picture edit_picture(const FlatSpec& before, const FlatSpec& after, std::string title,
                     const TensorType& input = kNetworkInput);

}  // namespace expgraph
