// drawings: flat specs -> the pictures that a study keeps.
#include "viz/drawings.h"

#include "viz/diff.h"

namespace expgraph {
namespace {

Picture draw(const FlatSpec& spec, const std::string& root, std::string title) {
  return picture_of(spec, root, shapes_of(spec, build_pipeline(spec)), std::move(title));
}

}  // namespace

Picture network_picture(const FlatSpec& spec, std::string title) {
  return draw(spec, network_of(spec), std::move(title));
}

Picture pipeline_picture(const FlatSpec& spec, std::string title) {
  return draw(spec, "", std::move(title));
}

Picture edit_picture(const FlatSpec& before, const FlatSpec& after, std::string title) {
  return diff_picture(draw(before, "", ""), draw(after, "", ""), std::move(title));
}

}  // namespace expgraph
