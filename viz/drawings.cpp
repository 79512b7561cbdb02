// drawings: flat specs -> the pictures that a study keeps.
#include "viz/drawings.h"

#include "viz/diff.h"

namespace expgraph {
namespace {

/// A network alone does not say what comes in, so nothing of it has a shape.
Picture draw(const FlatSpec& spec, const std::string& root, std::string title) {
  const bool is_pipeline = spec.find("train") != nullptr;
  const Shapes shapes = is_pipeline ? shapes_of(spec, build_pipeline(spec)) : Shapes{};
  return picture_of(spec, root, shapes, std::move(title));
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
