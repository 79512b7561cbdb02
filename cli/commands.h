// commands: what each file cli/<command>.cpp offers, and the options that several share.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "cli/cli.h"
#include "core/spec/study_spec.h"

namespace expgraph {

Action add_backends(CLI::App& app, Streams& streams);
Action add_bench(CLI::App& app, Streams& streams);
Action add_calibrate(CLI::App& app, Streams& streams);
Action add_check(CLI::App& app, Streams& streams);
Action add_diff(CLI::App& app, Streams& streams);
Action add_doctor(CLI::App& app, Streams& streams);
Action add_draw(CLI::App& app, Streams& streams);
Action add_ops(CLI::App& app, Streams& streams);
Action add_plan(CLI::App& app, Streams& streams);
Action add_report(CLI::App& app, Streams& streams);
Action add_run(CLI::App& app, Streams& streams);
Action add_show(CLI::App& app, Streams& streams);
Action add_table(CLI::App& app, Streams& streams);
Action add_verify(CLI::App& app, Streams& streams);

/// What names the variants that a command works on: FILE --profile --only --set --seeds.
struct StudyArguments {
  std::string file;
  std::string profile;
  std::vector<std::string> only;
  std::vector<std::string> set;  ///< "path.attribute=value" or "parameter=value"
  int seeds = 0;                 ///< 0: as the study says
  bool networks = false;         ///< a network file is taken, too
  int attribute = 0;             ///< orders of edits; 0: the study's own variants
};

void add_study_arguments(CLI::App& app, StudyArguments& arguments);

/// Reads the study (or the pipeline, a study of one variant). Error when nothing is left of it.
Study read_study(const StudyArguments& arguments);

/// FILE[:VARIANT] --profile --set, for a command that works on one variant; `profile` is that
/// option's name where the command has another use for it.
void add_variant_arguments(CLI::App& app, StudyArguments& arguments,
                           const std::string& profile = "--profile");

/// The study with none but that variant.
Study one_variant(const StudyArguments& arguments);

/// The variant that FILE:VARIANT names; the last of the study without a name.
Variant choose_variant(const StudyArguments& arguments);

/// What `work` gives for a variant; an Error says which of several variants it was.
template <typename Work>
auto in_variant(const Study& study, const Variant& variant, const Work& work) {
  try {
    return work(variant.spec);
  } catch (Error& error) {
    if (study.variants.size() == 1) throw;
    throw error.note("in variant '" + variant.name + "'", variant.where);
  }
}

/// What a backend says that it is, or why it cannot be used on this machine.
std::string backend_text(const std::string& name);

/// Rows of cells -> aligned columns; `right` says which are numbers. No blanks at line ends.
std::string columns_text(const std::vector<std::vector<std::string>>& rows,
                         const std::vector<bool>& right);

/// Adds `--input`: what a network file is given.
void add_input(CLI::App& app, std::string& input);

/// The study's folder in the run store: `place` itself, or found by the name in a study file.
std::filesystem::path stored_study(const std::string& place, const std::string& runs);

struct StudyResult;
/// report.html and plots/ in the study's folder.
void write_report(const std::filesystem::path& folder, const StudyResult& result);

struct Picture;
/// As SVG or DOT, by the name's end. Error (usage) for another end.
void write_drawing(const std::string& path, const Picture& picture);

/// Error (environment) when it cannot be written.
void write_file(const std::string& path, const std::string& text);

/// Adds `--json`.
void add_json(CLI::App& app, bool& json);
/// Prints a result as JSON; bytes that are not UTF-8 are replaced.
void print_json(Streams& streams, const nlohmann::ordered_json& json);

}  // namespace expgraph
