// study_spec: a study file -> its variants.
#include "core/spec/study_spec.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <climits>

#include "core/spec/documents.h"
#include "core/spec/expand.h"
#include "core/spec/series.h"
#include "core/support/suggest.h"

namespace expgraph {
namespace {

constexpr size_t kMostEdits = 64;  // of an attribution

/// "name=value" of --set as a key and a value that point into the words of the command line.
yaml::Entry read_override(const std::string& name, const std::string& value) {
  const auto source = std::make_shared<SourceText>(SourceText{"--set", name + "=" + value});
  const Location where{source, 1, 1, static_cast<int>(name.size())};
  yaml::Value parsed = yaml::parse(source, {}, name.size() + 1);
  if (parsed.is_null()) {
    throw Error(fmt::format("'{}' has no value", name), where, ExitCode::usage);
  }
  return {name, where, std::move(parsed)};
}

bool is_path(const std::string& name) { return name.find_first_of("./") != std::string::npos; }

yaml::Value make_set(const std::vector<AttributeSpec>& assignments) {
  yaml::Value attributes;
  attributes.kind = yaml::Kind::mapping;
  attributes.where = assignments[0].where;
  for (const AttributeSpec& a : assignments)
    attributes.entries.push_back({a.name, a.where, a.value});
  yaml::Value edit = attributes;
  edit.entries = {{"set", attributes.where, attributes}};
  yaml::Value list = edit;
  list.kind = yaml::Kind::sequence;
  list.entries.clear();
  list.items = {edit};
  return list;
}

class StudyReader {
 public:
  StudyReader(const std::string& path, const StudyOptions& options, const OpNames& ops)
      : options_(options), ops_(ops), document_(library_.file(path, {})) {
    study_.file = path;
    yaml::require_mapping(document_, fmt::format("'{}'", path));
    for (const auto& [name, value] : options.set) {
      const yaml::Entry entry = read_override(name, value);
      (is_path(name) ? assignments_ : overrides_).push_back({name, entry.value, entry.where});
    }
  }

  Study read() {
    if (document_.find("study") != nullptr) {
      read_head();
      points_ = read_series(document_);
    } else if (document_.find("pipeline") != nullptr) {
      read_pipeline();
    } else if (options_.networks && document_.find("network") != nullptr) {
      return read_network();
    } else {
      throw Error("expected a file with the key 'study' or 'pipeline'", document_.where);
    }
    select();
    make_variants();
    if (options_.attribute > 0) make_coalitions();
    return std::move(study_);
  }

 private:
  void read_head() {
    yaml::expect_keys(
        document_,
        {"study", "pipeline", "note", "params", "profiles", "profile", "seeds", "target", "blocks",
         "edits", "ladder", "each", "leave_one_out", "list", "grid", "zip"},
        "a study file");
    study_.name = yaml::require_text(*document_.find("study"), "'study'");
    if (const yaml::Value* note = document_.find("note")) {
      study_.note = yaml::require_text(*note, "'note'");
    }
    const yaml::Value* pipeline = document_.find("pipeline");
    if (pipeline == nullptr) {
      throw Error("a study file needs the key 'pipeline'", document_.find("study")->where);
    }
    pipeline_where_ = pipeline->where;
    pipeline_ = library_.resolve(yaml::require_text(*pipeline, "'pipeline'"), pipeline_where_);
    if (const yaml::Value* seeds = document_.find("seeds")) read_seeds(*seeds);
    read_parameters();
    if (options_.seeds) study_.seeds = *options_.seeds;
    if (const yaml::Value* target = document_.find("target")) target_ = target;
    if (const yaml::Value* edits = document_.find("edits")) {
      for (const yaml::Entry& entry : yaml::require_mapping(*edits, "'edits'").entries) {
        named_sources_.emplace_back(entry.key, &entry.value);
      }
    }
  }

  void read_pipeline() {
    pipeline_ = study_.file;
    study_.name = yaml::require_text(*document_.find("pipeline"), "'pipeline'");
    study_.seeds = options_.seeds.value_or(1);
    if (!options_.profile.empty()) {
      throw Error(fmt::format("'{}' is a pipeline, which has no profiles", pipeline_), {},
                  ExitCode::usage);
    }
    read_parameters();
    Point point;
    point.name = point.title = study_.name;
    point.where = document_.find("pipeline")->where;
    points_ = {point};
  }

  /// A study of one variant whose spec is a network; its parameters are set by --set.
  Study read_network() {
    const yaml::Value& name = *document_.find("network");
    study_.name = yaml::require_text(name, "'network'");
    if (!options_.profile.empty()) {
      throw Error(fmt::format("'{}' is a network, which has no profiles", study_.file), {},
                  ExitCode::usage);
    }
    FlatSpec spec = expand_document(library_, study_.file, {}, overrides_, ops_);
    study_.variants.push_back({.name = study_.name,
                               .title = study_.name,
                               .spec = with_assignments(std::move(spec)),
                               .where = name.where});
    return std::move(study_);
  }

  void read_seeds(const yaml::Value& value) {
    study_.seeds = static_cast<int>(yaml::require_integer(value, "'seeds'", 1, 1000));
  }

  /// Parameters: those of the pipeline and those that the study adds, by rising precedence the
  /// pipeline's defaults, `params`, the profile, --set.
  void read_parameters() {
    const yaml::Value& pipeline = library_.file(pipeline_, pipeline_where_);
    if (const yaml::Value* declared = pipeline.find("params")) {
      for (const yaml::Entry& entry : declared->entries) of_pipeline_.push_back(entry.key);
    }
    const bool is_study = document_.find("study") != nullptr;
    const yaml::Value* params = is_study ? document_.find("params") : nullptr;
    if (params != nullptr) {
      for (const yaml::Entry& entry : yaml::require_mapping(*params, "'params'").entries) {
        if (entry.value.is_null()) {
          throw Error(fmt::format("parameter '{}' has no value", entry.key), entry.where);
        }
        parameters_.push_back({entry.key, with_role(entry.value, "'params'"), entry.where});
      }
    }
    of_study_ = parameters_;
    if (is_study) read_profiles();
    for (const AttributeSpec& parameter : overrides_) {
      set_parameter(parameters_, parameter, "no parameter is named", ExitCode::usage);
    }
  }

  std::vector<std::string> known_parameters() const {
    std::vector<std::string> names = of_pipeline_;
    for (const AttributeSpec& parameter : of_study_) names.push_back(parameter.name);
    return names;
  }

  void set_parameter(Parameters& parameters, const AttributeSpec& parameter,
                     std::string_view complaint, ExitCode code) const {
    const std::vector<std::string> names = known_parameters();
    if (std::find(names.begin(), names.end(), parameter.name) == names.end()) {
      Error error(fmt::format("{} '{}'", complaint, parameter.name), parameter.where, code);
      const std::string hint = did_you_mean(parameter.name, names);
      throw error.note(!hint.empty()   ? hint
                       : names.empty() ? "the pipeline has no parameters"
                                       : fmt::format("there are {}", fmt::join(names, ", ")));
    }
    const auto found = std::find_if(parameters.begin(), parameters.end(),
                                    [&](const auto& p) { return p.name == parameter.name; });
    if (found == parameters.end()) {
      parameters.push_back(parameter);
    } else {
      found->value = parameter.value;
    }
  }

  void read_profiles() {
    const yaml::Value* profiles = document_.find("profiles");
    if (profiles != nullptr) {
      for (const yaml::Entry& entry : yaml::require_mapping(*profiles, "'profiles'").entries) {
        study_.profiles.push_back(entry.key);
        yaml::require_mapping(entry.value, fmt::format("profile '{}'", entry.key));
        Parameters checked = parameters_;
        apply_profile(entry, checked, false);
      }
    }
    const yaml::Value* named = document_.find("profile");
    study_.profile = options_.profile;
    if (named != nullptr) {
      const std::string& name = yaml::require_text(*named, "'profile'");
      check_profile(name, named->where, ExitCode::invalid);
      if (study_.profile.empty()) study_.profile = name;
    }
    if (study_.profile.empty()) return;
    check_profile(study_.profile, {}, ExitCode::usage);
    for (const yaml::Entry& entry : profiles->entries) {
      if (entry.key == study_.profile) apply_profile(entry, parameters_, true);
    }
  }

  void check_profile(const std::string& name, const Location& where, ExitCode code) const {
    const auto& names = study_.profiles;
    if (std::find(names.begin(), names.end(), name) != names.end()) return;
    Error error(fmt::format("no profile is named '{}'", name), where, code);
    const std::string hint = did_you_mean(name, names);
    throw error.note(!hint.empty()   ? hint
                     : names.empty() ? "the study has no profiles"
                                     : fmt::format("there are {}", fmt::join(names, ", ")));
  }

  void apply_profile(const yaml::Entry& profile, Parameters& parameters, bool chosen) {
    for (const yaml::Entry& entry : profile.value.entries) {
      if (entry.key == "note") continue;
      if (entry.key == "seeds") {
        if (chosen) read_seeds(entry.value);
        continue;
      }
      const std::string role = fmt::format("profile '{}'", profile.key);
      set_parameter(parameters, {entry.key, with_role(entry.value, role), entry.where},
                    "unknown parameter", ExitCode::invalid);
    }
  }

  /// Marks what --only asks for.
  void select() {
    selected_.assign(points_.size(), options_.only.empty());
    for (const std::string& wanted : options_.only) {
      const Glob glob(wanted, {});
      bool found = false;
      for (size_t i = 0; i < points_.size(); ++i) {
        if (!glob.matches(points_[i].name)) continue;
        selected_[i] = found = true;
      }
      if (!found && wanted == "final") selected_.back() = found = true;
      if (found) continue;
      std::vector<std::string> names;
      for (const Point& point : points_) names.push_back(point.name);
      Error error(fmt::format("no variant is named '{}'", wanted), {}, ExitCode::usage);
      const std::string hint = did_you_mean(wanted, names);
      throw error.note(hint.empty() ? fmt::format("there are {}", fmt::join(names, ", ")) : hint);
    }
  }

  void make_variants() {
    std::vector<FlatSpec> specs;
    specs.reserve(points_.size());
    for (size_t i = 0; i < points_.size(); ++i) {
      const Point& point = points_[i];
      try {
        specs.push_back(edited(point, specs));
        study_.order.push_back(point.name);
        if (selected_[i]) {
          study_.variants.push_back(variant(point, specs));
        } else {
          add_other(point, specs);
        }
      } catch (Error& error) {
        if (points_.size() > 1) error.note(fmt::format("in variant '{}'", point.name));
        throw;
      }
    }
    if (target_ != nullptr) {
      const yaml::Value value = substitute(*target_, ground_for({}).bindings, &used_);
      study_.target = read_condition(value, "'target'");
    }
    for (const AttributeSpec& parameter : of_study_) {
      const bool known =
          std::find(of_pipeline_.begin(), of_pipeline_.end(), parameter.name) != of_pipeline_.end();
      if (known || used_.contains(parameter.name)) continue;
      throw Error(fmt::format("parameter '{}' is neither the pipeline's nor used in an edit",
                              parameter.name),
                  parameter.where);
    }
  }

  /// One that --only leaves out; --set need not fit it, and then it has no place in the tables.
  void add_other(const Point& point, const std::vector<FlatSpec>& specs) {
    try {
      study_.others.push_back(variant(point, specs));
    } catch (const Error&) {
      if (assignments_.empty()) throw;
    }
  }

  /// Sets of edits in the place of the variants, which have been made to see that they are right.
  /// An edit that cannot be made without one that its set lacks is left out of it, and noted.
  void make_coalitions() {
    const EditParts parts = read_parts(document_);
    std::vector<std::string> titles;
    for (const Point& part : parts.parts) titles.push_back(part.title);
    if (titles.size() < 2 || titles.size() > kMostEdits) {
      throw Error(fmt::format("attribution wants 2 to {} edits, the study has {}", kMostEdits,
                              titles.size()),
                  document_.where);
    }
    study_.attribution = plan_attribution(titles, options_.attribute);
    study_.name += "-attribution";
    study_.variants.clear();
    study_.order.clear();
    const FlatSpec base = edited(parts.base, {});
    for (const Coalition& coalition : coalitions_of(*study_.attribution)) {
      Variant variant{.name = name_of(coalition, titles.size()), .coalition = coalition};
      variant.title = variant.name;
      variant.base = coalition.empty() ? "" : "none";
      variant.where = document_.where;
      FlatSpec spec = base;
      for (const int edit : coalition) {
        Point part = parts.parts[static_cast<size_t>(edit)];
        part.on_top_of = 0;
        try {
          FlatSpec next = edited(part, {spec});
          options_.check(next);
          spec = std::move(next);
        } catch (const Error&) {
          variant.inapplicable.push_back(edit);
        }
      }
      variant.spec = with_assignments(std::move(spec));
      study_.order.push_back(variant.name);
      study_.variants.push_back(std::move(variant));
    }
  }

  /// The spec of a point, before the edits of --set.
  FlatSpec edited(const Point& point, const std::vector<FlatSpec>& specs) {
    const Ground& ground = ground_for(point.parameters);
    FlatSpec spec = point.on_top_of < 0 ? ground.spec : specs[static_cast<size_t>(point.on_top_of)];
    const EditScope scope{ground.named, library_.scope(document_), library_, ops_,
                          fmt::format("variant '{}'", point.name)};
    for (const yaml::Value* edits : point.edits) {
      spec = apply_edits(std::move(spec), read_edits(substitute(*edits, ground.bindings, &used_)),
                         scope);
    }
    if (!point.assignments.empty()) {
      const yaml::Value edits = make_set(point.assignments);
      spec = apply_edits(std::move(spec), read_edits(substitute(edits, ground.bindings, &used_)),
                         scope);
    }
    return spec;
  }

  Variant variant(const Point& point, const std::vector<FlatSpec>& specs) {
    Variant result{.name = point.name,
                   .title = point.title,
                   .note = point.note,
                   .spec = specs.back(),
                   .expect = point.expect,
                   .where = point.where};
    if (point.base >= 0) {
      const auto base = static_cast<size_t>(point.base);
      result.base = points_[base].name;
      result.changes = diff(specs[base], specs.back());
      result.before = std::make_shared<const FlatSpec>(specs[base]);
      result.after = std::make_shared<const FlatSpec>(specs.back());
    }
    result.spec = with_assignments(std::move(result.spec));
    return result;
  }

  /// --set path.attribute=value.
  FlatSpec with_assignments(FlatSpec spec) {
    if (assignments_.empty()) return spec;
    const NamedEdits none;
    const EditScope scope{none, library_.scope(document_), library_, ops_, "--set"};
    return apply_edits(std::move(spec), read_edits(make_set(assignments_)), scope);
  }

  /// The unedited pipeline under some parameters, and what edits see of them.
  struct Ground {
    FlatSpec spec;
    Bindings bindings;
    NamedEdits named;
  };

  const Ground& ground_for(const Parameters& of_point) {
    Parameters parameters = parameters_;
    for (AttributeSpec parameter : of_point) {
      parameter.value = with_role(parameter.value, "this variant");
      set_parameter(parameters, parameter, "unknown parameter", ExitCode::invalid);
    }
    std::string key;
    for (const AttributeSpec& p : parameters) key += yaml::to_text(p.value) + "\n";
    const auto known = grounds_.find(key);
    if (known != grounds_.end()) return known->second;
    Ground& ground = grounds_[key];
    Parameters given;
    for (const AttributeSpec& parameter : parameters) {
      AttributeSpec value = parameter;
      value.value = substitute(parameter.value, ground.bindings, &used_);
      ground.bindings[parameter.name] = value.value;
      if (std::find(of_pipeline_.begin(), of_pipeline_.end(), parameter.name) !=
          of_pipeline_.end()) {
        given.push_back(std::move(value));
      }
    }
    ground.spec = expand_document(library_, pipeline_, pipeline_where_, given, ops_);
    if (ground.spec.is_network) {
      throw Error(fmt::format("'{}' is a network, expected a pipeline", pipeline_),
                  pipeline_where_);
    }
    ground.bindings.merge(document_bindings(library_, pipeline_, pipeline_where_, given));
    for (const auto& [name, source] : named_sources_) {
      ground.named[name] = read_edits(substitute(*source, ground.bindings, &used_));
    }
    return ground;
  }

  const StudyOptions& options_;
  const OpNames& ops_;
  Library library_;
  const yaml::Value& document_;
  Study study_;
  std::string pipeline_;
  Location pipeline_where_;
  std::vector<std::string> of_pipeline_;    ///< names of the pipeline's parameters
  Parameters of_study_;                     ///< as `params` gives them
  Parameters parameters_;                   ///< with profile and --set
  Parameters overrides_;                    ///< --set name=value
  std::vector<AttributeSpec> assignments_;  ///< --set path.attribute=value
  std::vector<std::pair<std::string, const yaml::Value*>> named_sources_;
  const yaml::Value* target_ = nullptr;
  std::vector<Point> points_;
  std::vector<bool> selected_;
  std::map<std::string, Ground> grounds_;
  std::set<std::string> used_;
};

}  // namespace

Study read_study(const std::string& path, const StudyOptions& options, const OpNames& ops) {
  return StudyReader(path, options, ops).read();
}

}  // namespace expgraph
