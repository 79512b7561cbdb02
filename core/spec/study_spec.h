// study_spec: a study file -> its variants, each a flat spec ready to compile.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/spec/edit.h"

namespace expgraph {

/// `expect:` of a rung: a bound on a metric ("test/accuracy >= 0.83") or a direction against the
/// previous rung ("test/accuracy: up"), checked after the run on the mean over seeds.
struct Expectation {
  enum class Kind { at_least, at_most, up, down, same };
  std::string metric;
  Kind kind = Kind::at_least;
  double bound = 0;
  Location where;
};

/// One variant of a study: a name, its whole edited spec, and what changed against its base.
struct Variant {
  std::string name;  ///< slug: "batch_size"
  std::string title;
  std::string note;
  std::string base;  ///< name of the variant that it is compared with ("" for the first)
  FlatSpec spec;
  EditReport edits;  ///< against base
  std::vector<Expectation> expect;
  Location where;
};

struct StudyOptions {
  std::string profile;            ///< "" = the study's default
  std::vector<std::string> only;  ///< variant names or globs; "final" = the last
  std::vector<std::pair<std::string, std::string>> set;  ///< "path.attribute" or parameter -> value
  std::optional<int> seeds;
};

struct Study {
  std::string name;
  std::string file;
  std::string note;
  std::string profile;
  std::vector<std::string> profiles;
  int seeds = 1;
  std::vector<Variant> variants;
};

/// Reads a study file, or a pipeline file (a study of one variant named as the pipeline).
Study read_study(const std::string& path, const StudyOptions& options, const OpNames& ops);

}  // namespace expgraph
