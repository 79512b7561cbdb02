// study_spec: a study file -> its variants, each a flat spec ready to compile.
//
//   study: NAME
//   note: TEXT
//   pipeline: FILE
//   params: {name: value}          parameters of the pipeline, or new ones for `$name` in edits
//   profiles: {NAME: {name: value, seeds: N, note: TEXT}}
//   profile: NAME                  the default one
//   seeds: N
//   target: METRIC >= NUMBER       the table tells the time until it holds
//   blocks: [FILE]                 blocks that edits may name
//   edits: {NAME: [EDIT]}          for `apply`
//   and one series:
//   ladder: [{rung: NAME, title:, note:, edits: [EDIT], expect: {METRIC: up}}]   each on the last
//   each: [{variant: NAME, ...}]               each alone, against the unedited `base`
//   leave_one_out: [{variant: NAME, ...}]      `all`, then all but one
//   list: [{variant: NAME, ...}]               each alone, against the first
//   grid: {AXIS: [value, ...]}                 every combination, against the first; an axis is a
//   zip: {AXIS: [value, ...]}                  parameter, a path.attribute, or {NAME: [EDIT]}
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/spec/coalitions.h"
#include "core/spec/condition.h"
#include "core/spec/edit.h"
#include "core/spec/spec_diff.h"

namespace expgraph {

/// `expect:` of a rung: a metric ("test/accuracy") and `at least 0.83`, `at most 2`, or a direction
/// against the base: `up`, `down`, `same`. Checked after the run on the mean over seeds.
struct Expectation {
  enum class Kind { at_least, at_most, up, down, same };
  std::string metric;
  Kind kind = Kind::at_least;
  double bound = 0;
  Location where;
};

/// One variant of a study: a name, its whole edited spec, and what changed against its base.
struct Variant {
  std::string name;  ///< safe as a folder name: "batch_size"
  std::string title;
  std::string note;
  std::string base;  ///< name of the variant that it is compared with, which may not be among the
                     ///< selected ones; "" for the first
  FlatSpec spec;
  SpecDiff changes;  ///< against base
  /// The two sides of `changes`, without the edits of --set, which need not fit the base; null for
  /// a variant without base.
  std::shared_ptr<const FlatSpec> before, after;
  std::vector<Expectation> expect;
  Location where;
  std::optional<Coalition> coalition = {};  ///< of a study for attribution: its edits
  std::vector<int> inapplicable = {};       ///< edits of it that could not be made, and were not
};

struct StudyOptions {
  std::string profile;            ///< "" = the study's default
  std::vector<std::string> only;  ///< variant names or globs; "final" = the last
  std::vector<std::pair<std::string, std::string>> set;  ///< "path.attribute" or parameter -> value
  std::optional<int> seeds;
  bool networks = false;  ///< a network file is taken, too: a study of one variant, a network
  /// Above 0: instead of the file's variants, the sets of edits of so many orders (coalitions.h);
  /// the study is called NAME-attribution.
  int attribute = 0;
  /// Throws Error for a spec that cannot be built; decides which edits of a set can be made.
  std::function<void(const FlatSpec&)> check;
};

struct Study {
  std::string name;
  std::string file;
  std::string note;
  std::string profile;
  std::vector<std::string> profiles;
  int seeds = 1;
  std::optional<Condition> target;
  std::vector<Variant> variants;   ///< those asked for
  std::vector<Variant> others;     ///< those that --only leaves out
  std::vector<std::string> order;  ///< names of all, as the file has them
  std::optional<AttributionPlan> attribution;
};

/// Reads a study file, or a pipeline file (a study of one variant named as the pipeline). A
/// parameter of a network that --set names and it does not have is an Error at "--set".
Study read_study(const std::string& path, const StudyOptions& options, const OpNames& ops);

}  // namespace expgraph
