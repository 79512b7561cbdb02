// series: ladder, each, leave_one_out, list, grid, zip -> points, each a list of edits and values.
#pragma once

#include <string>
#include <vector>

#include "core/spec/study_spec.h"

namespace expgraph {

/// One variant before it is made: what is to be done to the pipeline, in order.
struct Point {
  std::string name;
  std::string title;
  std::string note;
  int base = -1;                           ///< index of the point that it is compared with
  int on_top_of = -1;                      ///< index of the point whose spec it starts from
  Parameters parameters;                   ///< of grid and zip
  std::vector<const yaml::Value*> edits;   ///< lists of edits, parameters not yet put in
  std::vector<AttributeSpec> assignments;  ///< "path.attribute" and a value, of grid and zip
  std::vector<Expectation> expect;
  Location where;
};

/// The points of the one series in a study document; `base` alone when it has none.
std::vector<Point> read_series(const yaml::Value& study);

/// The edits of a study apart from its series: those of the variant that the others are built on,
/// and a list for each other. Error for a study without edits of its own: a grid, a zip.
struct EditParts {
  Point base;
  std::vector<Point> parts;
};
EditParts read_parts(const yaml::Value& study);

}  // namespace expgraph
