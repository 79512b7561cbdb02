// drawings: flat specs -> the pictures that a study keeps.
#include "viz/drawings.h"

#include "core/host_network.h"
#include "viz/diff.h"

namespace expgraph {
namespace {

Picture draw(const FlatSpec& spec, const std::string& root, std::string title) {
  return picture_of(spec, root, shapes_of(spec, build_pipeline(spec)), std::move(title));
}

Picture draw_network(const FlatSpec& spec, const TensorType& input, std::string title) {
  const HostedNetwork hosted = host_network(spec, input);
  return picture_of(hosted.spec, "net", shapes_of(hosted.graph), std::move(title));
}

}  // namespace

Picture network_picture(const FlatSpec& spec, std::string title, const TensorType& input) {
  if (spec.is_network) return draw_network(spec, input, std::move(title));
  return draw(spec, network_of(spec), std::move(title));
}

Picture pipeline_picture(const FlatSpec& spec, std::string title) {
  return draw(spec, "", std::move(title));
}

Picture edit_picture(const FlatSpec& before, const FlatSpec& after, std::string title,
                     const TensorType& input) {
  const auto whole = [&](const FlatSpec& spec) {
    return spec.is_network ? draw_network(spec, input, "") : draw(spec, "", "");
  };
  return diff_picture(whole(before), whole(after), std::move(title));
}

}  // namespace expgraph
